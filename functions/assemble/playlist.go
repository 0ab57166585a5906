package assemble

import (
	"fmt"
	"path"
	"strings"

	"vedette.dev/shared/ledger"
)

// playlist is an HLS playlist of the clip as it was uploaded: its segments, by byte ranges of the objects that split
// left, each with its own initialisation. It says false where a browser would not play it: HLS and browsers carry H.264
// with AAC in MP4.
func playlist(p ledger.Progress) (string, bool) {
	first := p.Parts[0]
	if first.Codec != "h264" || first.Audio != "" && first.Audio != "aac" {
		return "", false
	}
	longest := int64(0)
	for _, s := range p.Segments {
		if s.Container != "mp4" || s.Header <= 0 {
			return "", false
		}
		longest = max(longest, s.EndUS-s.StartUS)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-PLAYLIST-TYPE:VOD\n#EXT-X-TARGETDURATION:%d\n", (longest+999_999)/1_000_000)
	for i, s := range p.Segments {
		if i > 0 {
			b.WriteString("#EXT-X-DISCONTINUITY\n") // each segment begins a file of its own
		}
		uri := path.Join("..", "side", path.Base(s.Media.Key))
		fmt.Fprintf(&b, "#EXT-X-MAP:URI=%q,BYTERANGE=\"%d@0\"\n", uri, s.Header)
		fmt.Fprintf(&b, "#EXTINF:%.6f,\n#EXT-X-BYTERANGE:%d@%d\n%s\n",
			float64(s.EndUS-s.StartUS)/1e6, s.Media.Size-s.Header, s.Header, uri)
	}
	b.WriteString("#EXT-X-ENDLIST\n")
	return b.String(), true
}
