package media

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"github.com/asticode/go-astiav"
)

// clip says what a test clip is like. Its pictures are distinct, so that every one can be told from its neighbours.
type clip struct {
	codec     string // FFmpeg's encoder
	container string
	options   map[string]string // of the encoder
	muxer     map[string]string // options of the container
	frames    int
	width     int // 0: 128
	height    int // 0: 96
	rate      int // 0: 25
	gop       int // 0: 25
	bframes   int
	first     int64                          // of the first frame, ticks of 1/rate
	times     func(i int) int64              // ticks of 1/rate at which frame i is shown; nil: i
	base      astiav.Rational                // 0: 1/rate
	pixels    astiav.PixelFormat             // 0: yuv420p
	rotation  float64                        // degrees clockwise
	aspect    astiav.Rational                // of a pixel
	sound     bool                           // AAC or what the container takes
	silent    func(t float64) bool           // no sound at that second
	telephone bool                           // the sound is G.711, as of many cameras
	drop      func(*astiav.Packet, int) bool // leave this video packet out
	still     bool                           // every picture is the same
	corner    bool                           // white at the top left, black elsewhere
	tags      map[string]string
}

func (c clip) withDefaults() clip {
	set := func(v *int, to int) {
		if *v == 0 {
			*v = to
		}
	}
	set(&c.width, 128)
	set(&c.height, 96)
	set(&c.rate, 25)
	set(&c.gop, 25)
	if c.times == nil {
		c.times = func(i int) int64 { return int64(i) }
	}
	if c.base.Den() == 0 {
		c.base = astiav.NewRational(1, c.rate)
	}
	return c
}

// file is an io.WriteSeeker in memory.
type file struct {
	b   []byte
	pos int64
}

func (f *file) Write(p []byte) (int, error) {
	if need := f.pos + int64(len(p)); need > int64(len(f.b)) {
		f.b = append(f.b, make([]byte, need-int64(len(f.b)))...)
	}
	copy(f.b[f.pos:], p)
	f.pos += int64(len(p))
	return len(p), nil
}

func (f *file) Seek(offset int64, whence int) (int64, error) {
	switch whence &^ 0x20000 {
	case io.SeekStart:
		f.pos = offset
	case io.SeekCurrent:
		f.pos += offset
	case io.SeekEnd:
		f.pos = int64(len(f.b)) + offset
	case 0x10000:
		return int64(len(f.b)), nil
	}
	return f.pos, nil
}

// make encodes and muxes the clip.
func (c clip) make(t testing.TB) []byte {
	t.Helper()
	quiet()
	c = c.withDefaults()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("make %s in %s: %v", c.codec, c.container, err)
		}
	}
	out := &file{}
	pb, err := astiav.AllocIOContext(32<<10, true, nil, out.Seek, out.Write)
	check(err)
	defer pb.Free()
	format, err := astiav.AllocOutputFormatContext(nil, c.container, "")
	check(err)
	defer format.Free()
	format.SetPb(pb)

	codec := astiav.FindEncoderByName(c.codec)
	if codec == nil {
		t.Fatalf("FFmpeg was built without the encoder %s", c.codec)
	}
	video := astiav.AllocCodecContext(codec)
	defer video.Free()
	video.SetWidth(c.width)
	video.SetHeight(c.height)
	pixels := c.pixels
	if pixels == 0 {
		pixels = astiav.PixelFormatYuv420P
	}
	video.SetPixelFormat(pixels)
	video.SetTimeBase(c.base)
	video.SetFramerate(astiav.NewRational(c.rate, 1))
	video.SetGopSize(c.gop)
	video.SetMaxBFrames(c.bframes)
	video.SetThreadCount(1)
	if c.aspect.Den() != 0 {
		video.SetSampleAspectRatio(c.aspect)
	}
	if format.OutputFormat().Flags().Has(astiav.IOFormatFlagGlobalheader) {
		video.SetFlags(video.Flags().Add(astiav.CodecContextFlagGlobalHeader))
	}
	options, err := dictionary(c.options)
	check(err)
	defer options.Free()
	check(video.Open(codec, options))
	stream := format.NewStream(nil)
	check(stream.CodecParameters().FromCodecContext(video))
	stream.CodecParameters().SetCodecTag(0)
	stream.SetTimeBase(video.TimeBase())
	stream.SetAvgFrameRate(astiav.NewRational(c.rate, 1))
	stream.SetSampleAspectRatio(c.aspect)
	if c.rotation != 0 {
		check(stream.CodecParameters().SideData().DisplayMatrix().Add(astiav.NewDisplayMatrixFromRotation(c.rotation)))
	}
	if len(c.tags) > 0 {
		d, err := dictionary(c.tags)
		check(err)
		format.SetMetadata(d)
	}
	var audio *sound
	if c.sound {
		audio = newSound(t, format, c)
		defer audio.close()
	}
	muxer, err := dictionary(c.muxer)
	check(err)
	defer muxer.Free()
	check(format.WriteHeader(muxer))

	packet := astiav.AllocPacket()
	defer packet.Free()
	written := 0
	drain := func() {
		for {
			err := video.ReceivePacket(packet)
			if errors.Is(err, astiav.ErrEagain) || errors.Is(err, astiav.ErrEof) {
				return
			}
			check(err)
			if packet.Duration() == 0 {
				packet.SetDuration(rescale(1, astiav.NewRational(1, c.rate), video.TimeBase()))
			}
			packet.RescaleTs(video.TimeBase(), stream.TimeBase())
			packet.SetStreamIndex(stream.Index())
			if c.drop != nil && c.drop(packet, written) {
				packet.Unref()
			} else {
				check(format.WriteInterleavedFrame(packet))
			}
			written++
		}
	}
	frame := astiav.AllocFrame()
	defer frame.Free()
	frame.SetWidth(c.width)
	frame.SetHeight(c.height)
	frame.SetPixelFormat(pixels)
	check(frame.AllocBuffer(0))
	for i := range c.frames {
		check(frame.MakeWritable())
		n := i
		if c.still {
			n = 0
		}
		if c.corner {
			paintCorner(frame, c.width, c.height)
		} else {
			paint(frame, c.width, c.height, n)
		}
		frame.SetPts(rescale(c.first+c.times(i), astiav.NewRational(1, c.rate), c.base))
		check(video.SendFrame(frame))
		drain()
		if audio != nil {
			audio.until(float64(c.first+c.times(i)) / float64(c.rate))
		}
	}
	check(video.SendFrame(nil))
	drain()
	if audio != nil {
		audio.end()
	}
	check(format.WriteTrailer())
	return out.b
}

// paint draws a bright square that wanders over a gradient, and the frame's number as bars along the bottom.
func paint(frame *astiav.Frame, w, h, n int) {
	f := &Frame{format: YUV420, av: frame}
	y, stride := f.Plane(0)
	for r := range h {
		for c := range w {
			y[r*stride+c] = byte(40 + (r+c+n)%100)
		}
	}
	size := h / 4
	x0, y0 := (n*3)%(w-size), (n*2)%(h/2-size/2)
	for r := y0; r < y0+size; r++ {
		for c := x0; c < x0+size; c++ {
			y[r*stride+c] = 220
		}
	}
	bar := w / 16
	for bit := range 16 {
		v := byte(16)
		if n>>bit&1 == 1 {
			v = 235
		}
		for r := h - h/6; r < h; r++ {
			for c := bit * bar; c < (bit+1)*bar; c++ {
				y[r*stride+c] = v
			}
		}
	}
	for i := 1; i < 3; i++ {
		p, s := f.Plane(i)
		if frame.PixelFormat() != astiav.PixelFormatYuv420P && frame.PixelFormat() != astiav.PixelFormatYuvj420P {
			continue
		}
		for r := range (h + 1) / 2 {
			for c := range (w + 1) / 2 {
				p[r*s+c] = byte(128 + i*10)
			}
		}
	}
}

// paintCorner is white at the top left and black elsewhere.
func paintCorner(frame *astiav.Frame, w, h int) {
	f := &Frame{format: YUV420, av: frame}
	y, stride := f.Plane(0)
	for r := range h {
		for c := range w {
			y[r*stride+c] = 16
			if r < h/2 && c < w/2 {
				y[r*stride+c] = 235
			}
		}
	}
	for i := 1; i < 3; i++ {
		p, _ := f.Plane(i)
		for at := range p {
			p[at] = 128
		}
	}
}

// number reads the bars that paint draws, in a plane of luma of any size.
func number(f *Frame) int {
	y, stride := f.Plane(0)
	w, h := f.Width(), f.Height()
	n := 0
	for bit := range 16 {
		c := (2*bit + 1) * w / 32
		if y[(h-h/12)*stride+c] > 125 {
			n |= 1 << bit
		}
	}
	return n
}

// sound writes a quiet hum beside the video.
type sound struct {
	t      testing.TB
	c      clip
	format *astiav.FormatContext
	codec  *astiav.CodecContext
	stream *astiav.Stream
	frame  *astiav.Frame
	packet *astiav.Packet
	at     int64
}

func newSound(t testing.TB, format *astiav.FormatContext, c clip) *sound {
	t.Helper()
	name, sample := "aac", astiav.SampleFormatFltp
	switch {
	case c.container == "avi" || c.telephone:
		name, sample = "pcm_mulaw", astiav.SampleFormatS16
	case c.container == "webm":
		name, sample = "libopus", astiav.SampleFormatS16
	}
	codec := astiav.FindEncoderByName(name)
	s := &sound{t: t, c: c, format: format, codec: astiav.AllocCodecContext(codec)}
	s.codec.SetSampleRate(48000)
	s.codec.SetSampleFormat(sample)
	s.codec.SetChannelLayout(astiav.ChannelLayoutMono)
	s.codec.SetTimeBase(astiav.NewRational(1, 48000))
	if format.OutputFormat().Flags().Has(astiav.IOFormatFlagGlobalheader) {
		s.codec.SetFlags(s.codec.Flags().Add(astiav.CodecContextFlagGlobalHeader))
	}
	s.check(s.codec.Open(codec, nil))
	s.stream = format.NewStream(nil)
	s.check(s.stream.CodecParameters().FromCodecContext(s.codec))
	s.stream.CodecParameters().SetCodecTag(0)
	s.stream.SetTimeBase(s.codec.TimeBase())
	s.frame = astiav.AllocFrame()
	size := s.codec.FrameSize()
	if size == 0 {
		size = 1024
	}
	s.frame.SetNbSamples(size)
	s.frame.SetSampleFormat(sample)
	s.frame.SetSampleRate(48000)
	s.frame.SetChannelLayout(astiav.ChannelLayoutMono)
	s.check(s.frame.AllocBuffer(0))
	s.check(s.frame.SamplesFillSilence())
	s.packet = astiav.AllocPacket()
	return s
}

func (s *sound) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("make sound: %v", err)
	}
}

func (s *sound) until(second float64) {
	offset := int64(s.c.first) * 48000 / int64(s.c.rate)
	for ; float64(s.at+offset)/48000 < second; s.at += int64(s.frame.NbSamples()) {
		if s.c.silent != nil && s.c.silent(float64(s.at)/48000) {
			continue
		}
		s.frame.SetPts(s.at + offset)
		s.check(s.codec.SendFrame(s.frame))
		s.drain()
	}
}

func (s *sound) drain() {
	for {
		err := s.codec.ReceivePacket(s.packet)
		if errors.Is(err, astiav.ErrEagain) || errors.Is(err, astiav.ErrEof) {
			return
		}
		s.check(err)
		s.packet.RescaleTs(s.codec.TimeBase(), s.stream.TimeBase())
		s.packet.SetStreamIndex(s.stream.Index())
		s.check(s.format.WriteInterleavedFrame(s.packet))
	}
}

func (s *sound) end() {
	s.check(s.codec.SendFrame(nil))
	s.drain()
}

func (s *sound) close() {
	s.packet.Free()
	s.frame.Free()
	s.codec.Free()
}

// source counts reads.
type source struct {
	*bytes.Reader
	reads int
}

func newSource(b []byte) *source { return &source{Reader: bytes.NewReader(b)} }

func (s *source) ReadAt(p []byte, off int64) (int, error) {
	s.reads++
	return s.Reader.ReadAt(p, off)
}
