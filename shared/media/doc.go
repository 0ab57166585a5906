// Package media reads, cuts, decodes, encodes and joins video with FFmpeg's libraries. It is the only package that
// touches them: neither their types nor their memory leak out.
//
// # What enters
//
// A [Source]: random access to bytes with a known size, such as a *bytes.Reader, an *io.SectionReader over a file, or
// ranged reads over an object store. The package reads it in a few large windows, so a remote clip costs a handful of
// requests. A Source that can block must carry the context itself: a read under way is not abandoned, but none is
// started once the context given to the opening call is done.
//
// # What leaves
//
//   - [Probe] tells what a clip is, or why it cannot be used ([Unreadable]).
//   - [Cut] iterates over segments that can be decoded by themselves, by stream copy.
//   - [Packets] iterates over packets without decoding.
//   - [Decode] iterates over frames: every one, keyframes only, or so many a second; scaled, rotated, converted.
//   - [Stage] keeps sampled frames as a Matroska of JPEGs, and [OpenStaged] reads them back in several sizes.
//   - [Encode] makes H.264 and AAC of a stretch, drawn on; [Join] puts what it made one after another without encoding.
//   - [DecodePhoto] and [EncodeJPEG] are for still pictures.
//
// # Time
//
// All times are int64 microseconds since the clip's first frame. A segment made by [Cut] keeps the clip's times: give
// its [Span] to [Decode] or [Packets] and what belongs to its neighbours is left out. Without a span the source is a
// whole clip and its first frame is at 0.
//
// # Memory
//
// Pictures live in native memory, which the garbage collector does not see. Whoever is given something with a Close
// must call it once, after an error too; Close is harmless the second time. A *Frame that an iterator's Next returns
// is borrowed: it is good until the next call of Next or Close. [Frame.Keep] makes a reference that outlives the
// iterator, without copying pixels. Decoders share pictures (one may be the reference of the next), so call
// [Frame.MakeWritable] before drawing. A plane's bytes are good as long as their frame.
//
// Nothing here is safe for concurrent use; separate iterators and frames are independent of each other.
//
// # Errors
//
// What is wrong with the clip itself is an [*Unreadable], with a stable reason word and a hint for its owner. A read
// error of the Source is returned as the Source gave it (errors.Is and errors.As see it), as is the context's error.
// Everything else is FFmpeg's text, wrapped with what was being done. Damaged frames are skipped and counted, never an
// error by themselves.
//
// FFmpeg's own messages are process-wide: [LogTo] sends them to a logger, and without it they are dropped.
package media
