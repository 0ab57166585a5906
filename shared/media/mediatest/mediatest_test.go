package mediatest

import (
	"bytes"
	"errors"
	"io"
	"testing"

	"vedette.dev/shared/media"
)

func TestEncode(t *testing.T) {
	for _, v := range []Video{
		{Width: 64, Height: 48, Rate: 10, GOP: 10},
		{Width: 64, Height: 48, Rate: 25, GOP: 5, Options: map[string]string{"crf": "30"}, Container: "matroska"},
		{Width: 64, Height: 48, Rate: 10, GOP: 1, Codec: "mjpeg", Container: "avi"},
	} {
		body, err := v.Encode(20, func(rgb []byte, i int) {
			for p := range rgb {
				rgb[p] = byte(40 + 5*i)
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		d, err := media.Decode(t.Context(), bytes.NewReader(body), media.DecodeOptions{Format: media.RGB24})
		if err != nil {
			t.Fatal(err)
		}
		n, keys := 0, 0
		for ; ; n++ {
			f, err := d.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			if f.Key {
				keys++
			}
			pix, _ := f.Plane(0)
			if got, want := int(pix[30]), 40+5*n; got < want-6 || got > want+6 {
				t.Errorf("%+v: frame %d is %d, want %d", v, n, got, want)
			}
			if want := int64(n) * 1e6 / int64(v.Rate); f.PTS < want-1000 || f.PTS > want+1000 {
				t.Errorf("%+v: frame %d at %d µs", v, n, f.PTS)
			}
		}
		d.Close()
		if n != 20 || keys != 20/v.GOP {
			t.Errorf("%+v: %d frames, %d of them keyframes", v, n, keys)
		}
	}
	if _, err := (Video{Width: 64, Height: 48, Rate: 10, Codec: "no such"}).Encode(1, nil); err == nil {
		t.Error("a codec that is not there was no error")
	}
}
