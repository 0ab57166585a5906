package main

import (
	"strings"
	"testing"

	"vedette.dev/shared/findings"
)

func TestDifferences(t *testing.T) {
	report := func(change func(*findings.Report)) findings.Report {
		r := findings.Report{
			Status: findings.StatusCompleted, Duration: 20,
			Segments: []findings.ReportedSegment{{End: 10}, {Start: 10, End: 20, Active: true}},
			Tracks: []findings.ReportedTrack{
				{ID: 1, Object: findings.Person, Start: 11, End: 19, Face: &findings.ReportedFace{Width: 48, Score: .91}},
				{ID: 2, Object: findings.Person, Start: 12, End: 14},
			},
		}
		change(&r)
		return r
	}
	for _, c := range []struct {
		name   string
		change func(*findings.Report)
		want   string // part of the only difference
	}{
		{"nothing", func(*findings.Report) {}, ""},
		{"a rounding", func(r *findings.Report) { r.Tracks[0].Face = &findings.ReportedFace{Width: 49, Score: .9} }, ""},
		{"another clip id", func(r *findings.Report) { r.Clip = "other" }, ""},
		{"status", func(r *findings.Report) { r.Status = findings.StatusFailed }, "status"},
		{"duration", func(r *findings.Report) { r.Duration = 21 }, "duration"},
		{"gate", func(r *findings.Report) { r.Segments[0].Active = true }, "segments"},
		{"a failed segment", func(r *findings.Report) { r.Segments[1].Failed = "encode" }, "segments"},
		{"a track more", func(r *findings.Report) { r.Tracks = append(r.Tracks, r.Tracks[1]) }, "number of tracks"},
		{"a shorter track", func(r *findings.Report) { r.Tracks[1].End = 13.8 }, "track 2"},
		{"a face lost", func(r *findings.Report) { r.Tracks[0].Face = nil }, "no face"},
		{"another face", func(r *findings.Report) { r.Tracks[0].Face = &findings.ReportedFace{Width: 60, Score: .91} }, "60 px"},
	} {
		t.Run(c.name, func(t *testing.T) {
			all := differences(report(func(*findings.Report) {}), report(c.change))
			switch {
			case c.want == "" && len(all) > 0:
				t.Errorf("differences where there are none: %q", all)
			case c.want != "" && (len(all) != 1 || !strings.Contains(all[0], c.want)):
				t.Errorf("differences: %q, want one about %q", all, c.want)
			}
		})
	}
}
