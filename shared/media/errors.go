package media

import "fmt"

// Reason says in a stable word why a clip cannot be used.
type Reason string

// The reasons there are.
const (
	Empty            Reason = "empty"             // no bytes at all
	Truncated        Reason = "truncated"         // the upload or the recording stopped early: the index is missing
	NotVideo         Reason = "not a video"       // no known container
	NoVideoStream    Reason = "no video stream"   // audio only, or nothing but data
	NoKeyframes      Reason = "no keyframes"      // nowhere to begin decoding
	UnsupportedCodec Reason = "unsupported codec" // the container is known, its codec is not
	TooLarge         Reason = "too large"         // more pixels than maxPixels
	Undecodable      Reason = "undecodable"       // not one frame of it could be decoded
)

// Unreadable means that the clip itself is at fault: trying again will not help.
type Unreadable struct {
	Reason Reason
	Hint   string // what its owner can do
	Err    error  // what FFmpeg said, if it did
}

func (u *Unreadable) Error() string {
	if u.Err != nil {
		return fmt.Sprintf("clip is unreadable: %s: %v", u.Reason, u.Err)
	}
	return fmt.Sprintf("clip is unreadable: %s", u.Reason)
}

func (u *Unreadable) Unwrap() error { return u.Err }
