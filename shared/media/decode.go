package media

// #include <libavcodec/avcodec.h>
import "C"

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/asticode/go-astiav"
)

// DecodeOptions say which frames are wanted and how. The zero value is every frame of a whole clip at full size, as
// planar YUV, decoded by one thread.
type DecodeOptions struct {
	// Span leaves out what is not in it. A segment is given its own, or a part of it; nil is a whole clip.
	Span *Span

	// Keyframes decodes nothing else, which is many times faster.
	Keyframes bool

	// Rate is how many frames a second are wanted; 0 means all. Wanted is the frame on display at each point of a grid
	// that begins at the clip's first frame, so that the same frames are found wherever the clip was cut.
	Rate float64

	// Format is that of the frames that come out.
	Format Format

	// MaxWidth and MaxHeight bound the displayed picture; 0 means no bound. Its aspect is kept, and it is never enlarged.
	// Sizes are even.
	MaxWidth, MaxHeight int

	Scaling Scaling
	Threads int // of the decoder; 0 means 1
}

// Decoder iterates over the frames of a clip or segment in the order of display.
type Decoder struct {
	options DecodeOptions
	in      *input
	codec   *astiav.CodecContext
	look    look
	scaler  scaler // sizes are known with the first frame
	sized   bool

	shown  *astiav.Frame // decoded, being looked at
	ahead  *astiav.Frame // decoded after it, where the wanted ones are found by what follows
	next   int64         // time of ahead
	held   bool          // ahead is filled
	out    Frame         // what Next returns
	square *Frame        // scaled, to be turned
	turned *Frame        // scaled and turned, or only scaled

	selective bool // some pictures need not be decoded
	preview   preview
	packet    *astiav.Packet // not accepted yet
	last      int64          // time of the last frame that came
	decoded   int
	skipped   int
	drained   bool
	err       error // that the iteration ended with
}

// Decode opens a clip or segment for its frames.
func Decode(ctx context.Context, src Source, o DecodeOptions) (_ *Decoder, err error) {
	if math.IsNaN(o.Rate) || math.IsInf(o.Rate, 0) || o.Rate < 0 {
		return nil, fmt.Errorf("decode: a rate of %v frames a second makes no sense", o.Rate)
	}
	in, err := openAt(ctx, src, o.Span)
	if err != nil {
		return nil, err
	}
	d := &Decoder{options: o, in: in, look: in.look(), last: math.MinInt64}
	defer func() {
		if err != nil {
			d.Close()
		}
	}()
	parameters := in.videoCodec
	decoder := astiav.FindDecoder(parameters.CodecID())
	if decoder == nil {
		return nil, &Unreadable{Reason: UnsupportedCodec,
			Hint: fmt.Sprintf("There is no decoder for %s: convert the clip to H.264.", parameters.CodecID().Name())}
	}
	d.shown, d.ahead = astiav.AllocFrame(), astiav.AllocFrame()
	d.codec = astiav.AllocCodecContext(decoder)
	if d.codec == nil || d.shown == nil || d.ahead == nil {
		return nil, errors.New("decode: out of memory")
	}
	if err := parameters.ToCodecContext(d.codec); err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	d.selective = o.Rate > 0 && !o.Keyframes && skips(parameters.CodecID())
	d.codec.SetThreadCount(max(1, o.Threads))
	(*C.AVCodecContext)(d.codec.UnsafePointer()).pkt_timebase = C.AVRational{C.int(in.base.Num()), C.int(in.base.Den())}
	options, err := dictionary(map[string]string{"max_pixels": strconv.Itoa(maxPixels)})
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	defer options.Free()
	if err := d.codec.Open(decoder, options); err != nil {
		return nil, &Unreadable{Reason: Undecodable, Err: err,
			Hint: "The clip's header is damaged: convert the clip, or upload it again."}
	}
	return d, nil
}

// Next gives the next frame wanted, good until the next call, or io.EOF after the last.
func (d *Decoder) Next() (*Frame, error) {
	if d.err != nil {
		return nil, d.err
	}
	f, err := d.wanted()
	if err != nil {
		d.err = err
		return nil, err
	}
	return f, nil
}

// Skipped is how many frames could not be decoded so far.
func (d *Decoder) Skipped() int { return d.skipped }

// wanted finds the next frame to give.
func (d *Decoder) wanted() (*Frame, error) {
	if d.options.Rate == 0 {
		pts, err := d.decode(d.shown)
		if err != nil {
			return nil, err
		}
		return d.convert(pts)
	}
	for {
		if !d.held {
			pts, err := d.decode(d.ahead)
			if err != nil {
				return nil, err
			}
			d.held, d.next = true, pts
		}
		d.shown.Unref()
		d.shown.MoveRef(d.ahead)
		pts := d.next
		d.held = false
		next, err := d.decode(d.ahead)
		switch {
		case err == nil:
			d.held, d.next = true, next
		case errors.Is(err, io.EOF):
			next = d.end(pts)
		default:
			return nil, err
		}
		if onGrid(pts, next, d.options.Rate) {
			return d.convert(pts)
		}
	}
}

// onGrid tells whether a frame on display from pts until next is so at a point of the grid.
func onGrid(pts, next int64, rate float64) bool {
	return math.Ceil(float64(pts)*rate/1e6) < float64(next)*rate/1e6
}

// end is until when the last frame is displayed.
func (d *Decoder) end(pts int64) int64 {
	if d.options.Span != nil {
		return d.options.Span.End
	}
	if duration := (*C.AVFrame)(d.shown.UnsafePointer()).duration; duration > 0 {
		return pts + rescale(int64(duration), d.in.base, microsecond)
	}
	return pts + d.in.interval()
}

// decode fills f with the next frame within the span and gives its time.
func (d *Decoder) decode(f *astiav.Frame) (int64, error) {
	for {
		if err := d.receive(f); err != nil {
			return 0, err
		}
		d.decoded++
		pts := d.time(f)
		if d.options.Span != nil && pts >= d.options.Span.End {
			d.drained = true
			return 0, io.EOF // what follows is later still
		}
		if pts <= d.last { // a broken clock: no two frames at once
			d.skipped++
			continue
		}
		if !d.options.Span.has(pts) {
			continue
		}
		d.last = pts
		return pts, nil
	}
}

// time is that of a frame. Where the container has none it follows the frame before.
func (d *Decoder) time(f *astiav.Frame) int64 {
	if pts := (*C.AVFrame)(f.UnsafePointer()).best_effort_timestamp; pts != C.AV_NOPTS_VALUE {
		return d.in.since(int64(pts))
	}
	if d.last == math.MinInt64 {
		return 0
	}
	return d.last + d.in.interval()
}

// receive fills f with the next frame that the decoder has, feeding it as needed.
func (d *Decoder) receive(f *astiav.Frame) error {
	for stuck := 0; stuck < maxDamage && !(d.drained && stuck > 0); {
		err := d.codec.ReceiveFrame(f)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, astiav.ErrEof):
			return d.ended()
		case !errors.Is(err, astiav.ErrEagain):
			d.skipped++
			stuck++
		}
		fed, err := d.feed()
		if err != nil {
			return err
		}
		if fed {
			stuck = 0
		} else {
			stuck++
		}
	}
	return d.ended()
}

// ended is the end of the frames, at which there must have been one.
func (d *Decoder) ended() error {
	if d.decoded == 0 {
		return &Unreadable{Reason: Undecodable,
			Hint: "Not one picture of the clip could be decoded: it is damaged, or encrypted."}
	}
	return io.EOF
}

// feed gives the decoder a packet, or the end, and tells whether it took it.
func (d *Decoder) feed() (bool, error) {
	if d.drained {
		return false, nil
	}
	if d.packet == nil {
		if err := d.fetch(); err != nil {
			return false, err
		}
	}
	err := d.codec.SendPacket(d.packet)
	if errors.Is(err, astiav.ErrEagain) {
		return false, nil
	}
	if d.packet == nil {
		d.drained = true
		return true, nil
	}
	d.packet.Free()
	d.packet = nil
	if err != nil && !errors.Is(err, astiav.ErrEof) {
		d.skipped++
	}
	return true, nil
}

// fetch gets the next packet to decode; there is none at the end.
func (d *Decoder) fetch() error {
	for !d.preview.full() {
		p, err := d.in.read()
		switch {
		case errors.Is(err, io.EOF):
			d.preview.ended = true
		case err != nil:
			return err
		case d.options.Keyframes && !p.Flags().Has(astiav.PacketFlagKey):
			p.Free()
		case !d.selective:
			d.packet = p
			return nil
		default:
			d.preview.add(p)
		}
	}
	p, until, known := d.preview.next()
	if p != nil {
		skipUnreferenced(d.codec, known && !onGrid(d.in.since(p.Pts()), d.in.since(until), d.options.Rate))
	}
	d.packet = p
	return nil
}

// convert makes of the decoded frame the one that is given.
func (d *Decoder) convert(pts int64) (*Frame, error) {
	av := (*C.AVFrame)(d.shown.UnsafePointer())
	d.out = Frame{PTS: pts, Key: av.flags&C.AV_FRAME_FLAG_KEY != 0, format: d.options.Format, borrowed: true}
	d.size(av)
	picture := &Frame{format: d.options.Format, av: d.shown}
	if !d.scaler.fits(av) {
		if err := reuse(&d.square, d.options.Format, d.scaler.width, d.scaler.height); err != nil {
			return nil, err
		}
		if err := d.scaler.run(d.shown, d.square); err != nil {
			return nil, err
		}
		picture = d.square
	}
	if !d.look.turn.straight() {
		width, height := d.scaler.width, d.scaler.height
		if d.look.turn.swaps() {
			width, height = height, width
		}
		if err := reuse(&d.turned, d.options.Format, width, height); err != nil {
			return nil, err
		}
		d.look.turn.turnInto(d.turned, picture)
		picture = d.turned
	}
	d.out.av = picture.av
	return &d.out, nil
}

// size settles with the first frame what size all have. A camera that changes its own on the way is scaled to it.
func (d *Decoder) size(first *C.AVFrame) {
	if d.sized {
		return
	}
	maxWidth, maxHeight := d.options.MaxWidth, d.options.MaxHeight
	if d.look.turn.swaps() {
		maxWidth, maxHeight = maxHeight, maxWidth
	}
	width, height := d.look.squared(int(first.width), int(first.height))
	width, height = fit(width, height, maxWidth, maxHeight)
	d.scaler = scaler{format: d.options.Format, width: width, height: height, scaling: d.options.Scaling}
	d.sized = true
}

// reuse makes sure that *f can be written to: a picture that somebody kept is left to them.
func reuse(f **Frame, format Format, width, height int) error {
	if *f != nil && (*f).av.IsWritable() {
		return nil
	}
	fresh, err := NewFrame(format, width, height)
	if err != nil {
		return err
	}
	if *f != nil {
		(*f).Close()
	}
	*f = fresh
	return nil
}

// Close frees everything but frames that were kept.
func (d *Decoder) Close() {
	if d.err == nil {
		d.err = errors.New("decode: closed")
	}
	d.out.av = nil
	for _, f := range []*Frame{d.square, d.turned} {
		if f != nil {
			f.Close()
		}
	}
	d.square, d.turned = nil, nil
	for _, f := range []*astiav.Frame{d.shown, d.ahead} {
		if f != nil {
			f.Free()
		}
	}
	d.shown, d.ahead = nil, nil
	d.scaler.close()
	d.preview.close()
	if d.packet != nil {
		d.packet.Free()
		d.packet = nil
	}
	if d.codec != nil {
		d.codec.Free()
		d.codec = nil
	}
	d.in.close()
}
