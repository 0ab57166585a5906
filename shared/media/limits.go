package media

// Limits on what strangers' clips may ask for.
const (
	maxPixels = 8192 * 8192 // of a picture
	maxSide   = 16384       // of a picture: some panoramic cameras are wide

	probeBytes    = 8 << 20 // FFmpeg looks at no more to find out what a clip is …
	probeDuration = 10e6    // … and at no more microseconds of it

	maxAlloc = 1 << 30 // bytes that FFmpeg may ask for at once: more is an index that lies

	maxDamage = 1 << 16 // unusable packets in a row before the rest is given up
	maxHidden = 1 << 12 // pictures that an edit list may hide, or packets of sound, before the first picture shown
	maxTags   = 128     // that a clip may carry …
	maxTag    = 1 << 10 // … and the bytes of each
)
