package ffmpeg

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"vedette.dev/functions/decode"
	"vedette.dev/shared/ledger"
	"vedette.dev/shared/media/mediatest"
)

// segment is 2 s at 10 frames a second, 640x360; the grey of a frame is 40 + 5 times its number.
func segment(t *testing.T) []byte {
	t.Helper()
	body, err := mediatest.Video{Width: 640, Height: 360, Rate: 10, GOP: 10}.Encode(20, func(rgb []byte, i int) {
		for p := range rgb {
			rgb[p] = byte(40 + 5*i)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

type object struct{ *bytes.Reader }

func (object) Close() error { return nil }

var _ ledger.Source = object{}

func open(t *testing.T, body []byte) (decode.Clip, error) {
	t.Helper()
	c, err := Decoder{Threads: 1}.Open(t.Context(), object{bytes.NewReader(body)}, 0, 2e6)
	if err == nil {
		t.Cleanup(func() { _ = c.Close() })
	}
	return c, err
}

func TestClip(t *testing.T) {
	c, err := open(t, segment(t))
	if err != nil {
		t.Fatal(err)
	}
	if w, h := c.Size(); w != 640 || h != 360 {
		t.Errorf("%dx%d", w, h)
	}
	packets, err := c.Packets(t.Context())
	if err != nil || len(packets) != 20 || !packets[0].Key || packets[0].Size == 0 {
		t.Errorf("%v (%v)", packets, err)
	}

	look, err := c.Look(t.Context(), 1e6)
	if err != nil {
		t.Fatal(err)
	}
	defer look.Close()
	if n := brightening(t, look); n != decode.LookRate {
		t.Errorf("looked at %d pictures of the first second", n)
	}

	samples, err := c.Sample(t.Context(), 5, 320, 240)
	if err != nil {
		t.Fatal(err)
	}
	defer samples.Close()
	for i := range 3 {
		p, err := samples.Next()
		if err != nil || p.US != int64(i)*200_000 || p.Width > decode.LookWidth || p.Height > decode.LookHeight || len(p.Pix) != p.Width*p.Height {
			t.Errorf("sample %d: at %d µs, %dx%d (%v)", i, p.US, p.Width, p.Height, err)
		}
		if i == 1 {
			continue
		}
		if err := samples.Stage(); err != nil {
			t.Fatal(err)
		}
	}
	staged, err := samples.Finish()
	if err != nil || staged.Width != 320 || staged.Height != 180 || len(staged.Matroska) == 0 || staged.Broken != 0 {
		t.Errorf("%dx%d, %d bytes (%v)", staged.Width, staged.Height, len(staged.Matroska), err)
	}
	if len(staged.Times) != 2 || staged.Times[0] != 0 || staged.Times[1] != 400_000 {
		t.Errorf("staged %v", staged.Times)
	}
}

// brightening counts pictures, each of one grey and brighter than the one before.
func brightening(t *testing.T, pictures decode.Pictures) int {
	t.Helper()
	for n, before := 0, byte(0); ; n++ {
		p, err := pictures.Next()
		if errors.Is(err, io.EOF) {
			return n
		}
		if err != nil {
			t.Fatal(err)
		}
		if p.Pix[0] <= before || p.Pix[len(p.Pix)-1] != p.Pix[0] {
			t.Errorf("picture %d is %d and %d, the one before was %d", n, p.Pix[0], p.Pix[len(p.Pix)-1], before)
		}
		before = p.Pix[0]
	}
}

func TestUndecodable(t *testing.T) {
	whole := segment(t)
	scrambled := bytes.Clone(whole)
	at := bytes.Index(scrambled, []byte("mdat"))
	end := bytes.Index(scrambled, []byte("moov"))
	if at < 0 || end < at {
		t.Fatal("the video has another layout than this test knows")
	}
	for i := at + 4; i < end-4; i++ {
		scrambled[i] = 0
	}
	for name, body := range map[string][]byte{
		"no video":     []byte("this is no video at all, whatever it says"),
		"no pictures":  scrambled,
		"nothing":      {},
		"half of what": whole[:at+10],
	} {
		c, err := open(t, body)
		if err == nil {
			var samples decode.Samples
			if samples, err = c.Sample(t.Context(), 5, 320, 240); err == nil {
				_, err = samples.Next()
				_ = samples.Close()
			}
		}
		if u, ok := errors.AsType[*decode.Undecodable](err); !ok || u.Why == nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
