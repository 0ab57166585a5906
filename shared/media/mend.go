package media

import "github.com/asticode/go-astiav"

// mender gives one clock to a clip whose own starts anew on the way: transport and program streams that were recorded in
// pieces and put together. Pauses stay as they are.
type mender struct {
	offset int64 // added to what the clip says, microseconds
	last   int64 // decoding time of the last picture, mended
	begun  bool
}

const (
	backward = 10e6   // microseconds by which a clock goes back that has started anew
	forward  = maxGap // … or ahead
)

// mends tells whether a container can be like that.
func (in *input) mends() bool {
	return in.format.InputFormat().Flags().Has(astiav.IOFormatFlagTsDiscont)
}

func (in *input) mend(p *astiav.Packet) {
	m, base := &in.mender, in.base
	if in.isVideo(p) {
		at := p.Dts()
		if at == astiav.NoPtsValue {
			at = p.Pts()
		}
		if at == astiav.NoPtsValue {
			return
		}
		at = rescale(at, base, microsecond) + m.offset
		if m.begun && (at < m.last-backward || at > m.last+forward) {
			m.offset += m.last + in.interval() - at
			at = m.last + in.interval()
		}
		m.begun, m.last = true, at
	} else {
		base = in.audio.TimeBase()
	}
	shift := rescale(m.offset, microsecond, base)
	if p.Pts() != astiav.NoPtsValue {
		p.SetPts(p.Pts() + shift)
	}
	if p.Dts() != astiav.NoPtsValue {
		p.SetDts(p.Dts() + shift)
	}
}
