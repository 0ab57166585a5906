package media

// #include <libavcodec/codec_desc.h>
import "C"

import (
	"context"
	"errors"
	"io"
	"strings"

	"github.com/asticode/go-astiav"
)

// Info is what a clip says of itself.
type Info struct {
	Container string // "mp4", "mov", "matroska", "mpegts", "avi", …: the first of FFmpeg's names
	Duration  int64  // microseconds; what the container says or FFmpeg estimates, 0 if neither can
	Missing   int64  // bytes that the container announces and the source has not: it was cut short
	Video     Video
	Audio     *Audio            // nil: silent
	Tags      map[string]string // creation_time, com.apple.quicktime.creationdate, location, …
}

// Video is the moving picture of a clip.
type Video struct {
	Codec         string  // FFmpeg's name: "h264", "hevc", "vp9", …
	Width, Height int     // as displayed: turned, and with square pixels
	Rotation      int     // degrees clockwise by which the coded picture is turned to be displayed
	Rate          float64 // frames a second on average, 0 if unknown
	IntraOnly     bool    // every packet is a picture by itself, so that packet sizes say nothing of motion
}

// Audio is the sound of a clip.
type Audio struct {
	Codec    string
	Rate     int // samples a second
	Channels int
}

// Probe says what a clip is without decoding more than FFmpeg needs for that. What cannot be used is an *Unreadable.
func Probe(ctx context.Context, src Source) (*Info, error) {
	in, err := openInput(ctx, src)
	if err != nil {
		return nil, err
	}
	defer in.close()
	info := in.info()
	info.Missing = missing(in.reader)
	if err := in.findOrigin(); err != nil {
		return nil, err
	}
	if info.Video.Width == 0 || info.Video.Height == 0 {
		return nil, &Unreadable{Reason: Undecodable,
			Hint: "Nothing in the clip tells the size of its picture: it is damaged, or not from its beginning."}
	}
	if err := in.reader.wrap("probe clip", nil); err != nil {
		return nil, err
	}
	return info, nil
}

func (in *input) info() *Info {
	parameters := in.videoCodec
	info := &Info{Container: in.container(), Tags: map[string]string{}}
	if d := in.format.Duration(); d != astiav.NoPtsValue {
		info.Duration = max(0, d)
	}
	look := in.look()
	info.Video = Video{
		Codec:     parameters.CodecID().Name(),
		Rotation:  look.turn.degrees(),
		Rate:      positive(in.video.AvgFrameRate()),
		IntraOnly: intraOnly(parameters.CodecID()),
	}
	info.Video.Width, info.Video.Height = look.displayed(parameters.Width(), parameters.Height())
	if info.Video.Rate == 0 {
		info.Video.Rate = positive(in.video.RFrameRate())
	}
	if in.audio != nil {
		a := in.audioCodec
		info.Audio = &Audio{Codec: a.CodecID().Name(), Rate: a.SampleRate(), Channels: a.ChannelLayout().Channels()}
	}
	// The container's own tags win over its streams'.
	tags(in.video.Metadata(), info.Tags)
	tags(in.format.Metadata(), info.Tags)
	return info
}

// container is FFmpeg's name, except that it has one for MP4 and MOV together.
func (in *input) container() string {
	name, _, _ := strings.Cut(in.format.InputFormat().Name(), ",")
	if name == "mov" {
		brand := map[string]string{}
		tags(in.format.Metadata(), brand)
		if b := brand["major_brand"]; b != "" && b != "qt  " {
			return "mp4"
		}
	}
	return name
}

func tags(d *astiav.Dictionary, into map[string]string) {
	if d == nil {
		return
	}
	var e *astiav.DictionaryEntry
	for range maxTags {
		e = d.Get("", e, astiav.NewDictionaryFlags(astiav.DictionaryFlagIgnoreSuffix))
		if e == nil {
			return
		}
		k, v := strings.ToValidUTF8(e.Key(), "?"), strings.ToValidUTF8(e.Value(), "?")
		if len(k) <= maxTag && len(v) <= maxTag {
			into[k] = v
		}
	}
}

func positive(r astiav.Rational) float64 {
	if r.Num() <= 0 || r.Den() <= 0 {
		return 0
	}
	return r.Float64()
}

func intraOnly(id astiav.CodecID) bool {
	d := C.avcodec_descriptor_get(C.enum_AVCodecID(id))
	return d != nil && d.props&C.AV_CODEC_PROP_INTRA_ONLY != 0
}

// Packet is what a container tells of a picture without decoding it.
type Packet struct {
	PTS  int64 // microseconds since the clip's first frame
	Size int   // bytes
	Key  bool  // begins a run that can be decoded by itself
}

// PacketReader iterates over packets in decoding order, which is not that of their times.
type PacketReader struct {
	in   *input
	span *Span
}

// Packets reads the video's packets without decoding. Of a segment give its span; nil means a whole clip.
func Packets(ctx context.Context, src Source, span *Span) (*PacketReader, error) {
	in, err := openAt(ctx, src, span)
	if err != nil {
		return nil, err
	}
	return &PacketReader{in: in, span: span}, nil
}

// openAt opens a clip or a segment for its video, with the origin where its times are to count from.
func openAt(ctx context.Context, src Source, span *Span) (*input, error) {
	in, err := openInput(ctx, src)
	if err != nil {
		return nil, err
	}
	in.videoOnly()
	if err := in.findOrigin(); err != nil {
		in.close()
		return nil, err
	}
	if span != nil {
		in.origin = 0 // a segment has the clip's times
	}
	return in, nil
}

// Next gives the next packet, or io.EOF after the last.
func (r *PacketReader) Next() (Packet, error) {
	for {
		p, err := r.in.read()
		if err != nil {
			return Packet{}, err
		}
		packet := Packet{Size: p.Size(), Key: p.Flags().Has(astiav.PacketFlagKey)}
		ok := stamp(p)
		packet.PTS = r.in.since(p.Pts())
		p.Free()
		if ok && r.span.has(packet.PTS) {
			return packet, nil
		}
	}
}

// Close ends the iteration.
func (r *PacketReader) Close() { r.in.close() }

// All reads the rest.
func (r *PacketReader) All() ([]Packet, error) {
	var all []Packet
	for {
		p, err := r.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all = append(all, p)
	}
}
