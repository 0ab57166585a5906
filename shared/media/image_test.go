package media

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"github.com/asticode/go-astiav"
)

// quarters is a picture of four colours.
func quarters(w, h int) *image.NRGBA {
	p := image.NewNRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := map[[2]bool]color.NRGBA{
				{false, false}: {220, 20, 20, 255}, {true, false}: {20, 220, 20, 255},
				{false, true}: {20, 20, 220, 255}, {true, true}: {220, 220, 220, 255},
			}[[2]bool{x >= w/2, y >= h/2}]
			p.SetNRGBA(x, y, c)
		}
	}
	return p
}

// read names the colours in the middles of the quarters: A red, B green, C blue, D white.
func read(p Picture) string {
	var s strings.Builder
	for _, at := range [4][2]int{{1, 1}, {3, 1}, {1, 3}, {3, 3}} {
		pix := p.Pix[at[1]*p.H/4*p.Stride+at[0]*p.W/4*3:][:3]
		r, g, b := pix[0] > 128, pix[1] > 128, pix[2] > 128
		s.WriteString(map[[3]bool]string{{true, false, false}: "A", {false, true, false}: "B", {false, false, true}: "C", {true, true, true}: "D"}[[3]bool{r, g, b}])
	}
	return s.String()
}

func jpegOf(t *testing.T, p image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, p, &jpeg.Options{Quality: 95}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withOrientation puts an EXIF orientation into a JPEG.
func withOrientation(b []byte, orientation uint16) []byte {
	tiff := binary.BigEndian.AppendUint32([]byte("MM\x00*"), 8)
	tiff = append(tiff, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1) // one entry: orientation, one short
	tiff = binary.BigEndian.AppendUint16(tiff, orientation)
	tiff = append(tiff, 0, 0, 0, 0, 0, 0)
	body := append([]byte("Exif\x00\x00"), tiff...)
	segment := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(body)+2))
	return bytes.Join([][]byte{b[:2], segment, body, b[2:]}, nil)
}

func TestDecodePhotoTurnsItUpright(t *testing.T) {
	coded := jpegOf(t, quarters(96, 64))
	// By the standard's table of where the first row and the first column are to be seen.
	for i, want := range []string{"ABCD", "BADC", "DCBA", "CDAB", "ACBD", "CADB", "DBCA", "BDAC"} {
		orientation := uint16(i + 1)
		t.Run(fmt.Sprint(orientation), func(t *testing.T) {
			p, err := DecodePhoto(withOrientation(coded, orientation), 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(p); got != want {
				t.Errorf("%s, want %s", got, want)
			}
			w, h := 96, 64
			if orientation >= 5 {
				w, h = h, w
			}
			if p.W != w || p.H != h {
				t.Errorf("%dx%d, want %dx%d", p.W, p.H, w, h)
			}
		})
	}
}

func TestDecodePhotoKinds(t *testing.T) {
	original := quarters(96, 64)
	asPNG := func(p image.Image) []byte {
		var b bytes.Buffer
		if err := png.Encode(&b, p); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	palette := image.NewPaletted(original.Rect, color.Palette{original.At(0, 0), original.At(95, 0), original.At(0, 63), original.At(95, 63)})
	deep := image.NewRGBA64(original.Rect)
	for y := range 64 {
		for x := range 96 {
			palette.Set(x, y, original.At(x, y))
			deep.Set(x, y, original.At(x, y))
		}
	}
	glass := quarters(96, 64)
	glass.SetNRGBA(0, 0, color.NRGBA{0, 0, 0, 0})
	kinds := map[string][]byte{
		"jpeg": jpegOf(t, original), "png": asPNG(original), "png with palette": asPNG(palette), "png of 16 bits": asPNG(deep),
		"png with transparency": asPNG(glass), "webp": webpOf(t, original),
	}
	for name, b := range kinds {
		t.Run(name, func(t *testing.T) {
			p, err := DecodePhoto(b, 0, 0)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(p); got != "ABCD" || p.W != 96 || p.H != 64 {
				t.Errorf("%s of %dx%d", got, p.W, p.H)
			}
		})
	}
}

func TestDecodePhotoMakesItFit(t *testing.T) {
	b := withOrientation(jpegOf(t, quarters(400, 200)), 6)
	p, err := DecodePhoto(b, 1000, 100)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(p); p.W != 50 || p.H != 100 || got != "CADB" {
		t.Errorf("%s of %dx%d", got, p.W, p.H)
	}
}

func TestDecodePhotoRefuses(t *testing.T) {
	good := jpegOf(t, quarters(96, 64))
	huge := bytes.Clone(webpOf(t, quarters(16, 16)))
	var giant bytes.Buffer
	if err := png.Encode(&giant, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		t.Fatal(err)
	}
	binary.BigEndian.PutUint32(giant.Bytes()[16:], 100_000)
	binary.BigEndian.PutUint32(giant.Bytes()[20:], 100_000)
	tests := map[string]struct {
		b    []byte
		want Reason
	}{
		"nothing":        {nil, Empty},
		"text":           {[]byte("this is no picture"), NotAPhoto},
		"a gif":          {[]byte("GIF89a0000000000"), NotAPhoto},
		"a header alone": {good[:60], Undecodable},
		"noise":          {append([]byte{0xff, 0xd8, 0xff}, bytes.Repeat([]byte{7, 0xff, 200}, 500)...), Undecodable},
		"broken webp":    {huge[:len(huge)/2], Undecodable},
		"ten gigapixels": {giant.Bytes(), Undecodable},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := DecodePhoto(test.b, 0, 0)
			var u *Unreadable
			if !errors.As(err, &u) || u.Reason != test.want || u.Hint == "" {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestPictureOfAFrame(t *testing.T) {
	coded, err := DecodePhoto(jpegOf(t, quarters(96, 64)), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := NewFrame(RGB24, 96, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer whole.Close()
	pix, stride := whole.Plane(0)
	for y := range 64 {
		copy(pix[y*stride:][:3*96], coded.Pix[y*coded.Stride:])
	}
	planar, err := NewFrame(YUVJ420, 96, 64)
	if err != nil {
		t.Fatal(err)
	}
	defer planar.Close()
	s := scaler{format: YUVJ420, width: 96, height: 64}
	defer s.close()
	if err := s.run(whole.av, planar); err != nil {
		t.Fatal(err)
	}
	for _, f := range []*Frame{whole, planar} {
		t.Run(f.Format().String(), func(t *testing.T) {
			tests := map[string]struct {
				part   image.Rectangle
				w, h   int
				want   string
				ww, hh int
			}{
				"whole":         {image.Rectangle{}, 0, 0, "ABCD", 96, 64},
				"smaller":       {image.Rectangle{}, 24, 32, "ABCD", 24, 32},
				"one quarter":   {image.Rect(48, 0, 96, 32), 0, 0, "BBBB", 48, 32},
				"the middle":    {image.Rect(24, 16, 72, 48), 64, 64, "ABCD", 64, 64},
				"half outside":  {image.Rect(60, 40, 500, 500), 0, 0, "DDDD", 36, 24},
				"upper outside": {image.Rect(-20, -20, 20, 20), 0, 0, "AAAA", 20, 20},
			}
			for name, test := range tests {
				t.Run(name, func(t *testing.T) {
					p, err := f.Picture(test.part, test.w, test.h)
					if err != nil {
						t.Fatal(err)
					}
					if got := read(p); got != test.want || p.W != test.ww || p.H != test.hh {
						t.Errorf("%s of %dx%d, want %s of %dx%d", got, p.W, p.H, test.want, test.ww, test.hh)
					}
				})
			}
			if _, err := f.Picture(image.Rect(100, 100, 120, 120), 0, 0); err == nil {
				t.Error("a part outside of the frame was given")
			}
		})
	}
}

func TestEncodeJPEG(t *testing.T) {
	p, err := DecodePhoto(jpegOf(t, quarters(96, 64)), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	b, err := EncodeJPEG(p, 90)
	if err != nil {
		t.Fatal(err)
	}
	again, err := DecodePhoto(b, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	if got := read(again); got != "ABCD" {
		t.Errorf("came back as %s", got)
	}
}

func webpOf(t *testing.T, p *image.NRGBA) []byte {
	t.Helper()
	check := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("make WebP: %v", err)
		}
	}
	codec := astiav.FindEncoderByName("libwebp")
	if codec == nil {
		t.Fatal("FFmpeg was built without libwebp")
	}
	c := astiav.AllocCodecContext(codec)
	defer c.Free()
	c.SetWidth(p.Rect.Dx())
	c.SetHeight(p.Rect.Dy())
	c.SetPixelFormat(astiav.PixelFormatYuv420P)
	c.SetTimeBase(astiav.NewRational(1, 1))
	check(c.Open(codec, nil))
	rgb, err := NewFrame(RGB24, p.Rect.Dx(), p.Rect.Dy())
	check(err)
	defer rgb.Close()
	pix, stride := rgb.Plane(0)
	for y := range p.Rect.Dy() {
		for x := range p.Rect.Dx() {
			copy(pix[y*stride+3*x:][:3], p.Pix[p.PixOffset(x, y):])
		}
	}
	yuv, err := NewFrame(YUV420, p.Rect.Dx(), p.Rect.Dy())
	check(err)
	defer yuv.Close()
	s := scaler{format: YUV420, width: p.Rect.Dx(), height: p.Rect.Dy()}
	defer s.close()
	check(s.run(rgb.av, yuv))
	yuv.av.SetPts(0)
	check(c.SendFrame(yuv.av))
	check(c.SendFrame(nil))
	packet := astiav.AllocPacket()
	defer packet.Free()
	check(c.ReceivePacket(packet))
	return packet.Data()
}
