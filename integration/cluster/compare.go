package main

import (
	"fmt"
	"math"
	"slices"

	"vedette.dev/shared/findings"
)

// differences says in what two reports on the same clip differ that must not. The two places may use different releases
// of FFmpeg 7.1, whose scaler may round differently: hence the tolerances, which are below what anybody sees.
func differences(local, cluster findings.Report) (all []string) {
	differ := func(what string, here, there any) {
		all = append(all, fmt.Sprintf("%s: %v here, %v on the cluster", what, here, there))
	}
	if local.Status != cluster.Status {
		differ("status", local.Status, cluster.Status)
	}
	if !near(local.Duration, cluster.Duration, .001) {
		differ("duration", local.Duration, cluster.Duration)
	}
	if !slices.EqualFunc(local.Segments, cluster.Segments, sameSegment) {
		differ("segments", local.Segments, cluster.Segments)
	}
	if len(local.Tracks) != len(cluster.Tracks) {
		differ("number of tracks", len(local.Tracks), len(cluster.Tracks))
		return all
	}
	for i, here := range local.Tracks {
		if there := cluster.Tracks[i]; !sameTrack(here, there) {
			differ(fmt.Sprintf("track %d", i+1), describe(here), describe(there))
		}
	}
	return all
}

func sameSegment(a, b findings.ReportedSegment) bool {
	return near(a.Start, b.Start, .001) && near(a.End, b.End, .001) && a.Active == b.Active && a.Failed == b.Failed
}

func sameTrack(a, b findings.ReportedTrack) bool {
	if a.ID != b.ID || a.Object != b.Object || !near(a.Start, b.Start, .001) || !near(a.End, b.End, .001) || (a.Face == nil) != (b.Face == nil) {
		return false
	}
	return a.Face == nil || near(float64(a.Face.Width), float64(b.Face.Width), 1) && near(a.Face.Score, b.Face.Score, .02)
}

func near(a, b, tolerance float64) bool { return math.Abs(a-b) <= tolerance }

func describe(t findings.ReportedTrack) string {
	face := "no face"
	if t.Face != nil {
		face = fmt.Sprintf("a face of %d px (%.2f)", t.Face.Width, t.Face.Score)
	}
	return fmt.Sprintf("%d, %s, %.3f to %.3f s, %s", t.ID, t.Object, t.Start, t.End, face)
}
