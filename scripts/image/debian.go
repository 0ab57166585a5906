package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// The packages of Debian 13 out of which images are made. What FFmpeg's need comes with them.
var (
	basePackages   = []string{"base-files", "ca-certificates", "gcc-14-base", "libc6", "libgcc-s1", "libstdc++6", "tzdata", "zlib1g"}
	ffmpegPackages = []string{"libavcodec-dev", "libavdevice-dev", "libavfilter-dev", "libavformat-dev", "libavutil-dev", "libswresample-dev", "libswscale-dev"}
)

const keyring = "/usr/share/keyrings/debian-archive-keyring.gpg"

// aptConf gives apt lists and a state of our own, so that neither root nor a change to this machine's apt is needed,
// whatever release it runs. The status file says that nothing is installed: apt then resolves every dependency.
const aptConf = `Dir::State "%[1]s/state";
Dir::State::status "%[1]s/status";
Dir::Cache "%[1]s/cache";
Dir::Etc::SourceList "%[1]s/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
APT::Architecture "amd64";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
Acquire::Languages "none";
Acquire::Retries "3";
Debug::NoLocking "true";
#clear Acquire::IndexTargets::deb::DEP-11;
#clear Acquire::IndexTargets::deb::DEP-11-icons;
#clear APT::Architectures;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
`

// Security fixes reach the second of these first.
const aptSources = `deb [arch=amd64 signed-by=` + keyring + `] http://deb.debian.org/debian trixie main
deb [arch=amd64 signed-by=` + keyring + `] http://deb.debian.org/debian-security trixie-security main
`

// debian is an unpacked Debian 13: the base, and beside it everything else that was asked for.
type debian struct {
	base   string
	others string
	// versions says which packages, as name=version, sorted.
	versions []string
}

// fetchDebian brings the packages into dir and unpacks them, unless exactly these lie there already.
func fetchDebian(ctx context.Context, dir string) (debian, error) {
	for _, tool := range []string{"apt-get", "dpkg-deb"} {
		if _, err := exec.LookPath(tool); err != nil {
			return debian{}, fmt.Errorf("images are made of Debian packages, and %s is missing: run this on Debian or a descendant", tool)
		}
	}
	if _, err := os.Stat(keyring); err != nil {
		return debian{}, errors.New("Debian's archive keys are missing: sudo apt-get install debian-archive-keyring")
	}
	for _, d := range []string{"state/lists/partial", "cache/archives/partial"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			return debian{}, err
		}
	}
	for name, body := range map[string]string{"status": "", "sources.list": aptSources, "apt.conf": fmt.Sprintf(aptConf, dir)} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(body), 0o644); err != nil {
			return debian{}, err
		}
	}
	apt := func(args ...string) ([]byte, error) {
		return output(ctx, "apt-get", append([]string{"-qq", "-c", filepath.Join(dir, "apt.conf")}, args...)...)
	}
	if _, err := apt("update"); err != nil {
		return debian{}, fmt.Errorf("reading Debian 13's package lists: %w", err)
	}
	wanted := slices.Concat(basePackages, ffmpegPackages)
	uris, err := apt(append([]string{"install", "--yes", "--print-uris"}, wanted...)...)
	if err != nil {
		return debian{}, fmt.Errorf("choosing packages: %w", err)
	}
	debs := debNames(uris)
	sum := sha256.Sum256([]byte(strings.Join(debs, "\n")))
	root := filepath.Join(dir, "root-"+hex.EncodeToString(sum[:6]))
	d := debian{base: filepath.Join(root, "base"), others: filepath.Join(root, "others")}
	for _, deb := range debs {
		name, version, _ := strings.Cut(strings.ReplaceAll(deb, "%3a", ":"), "_")
		d.versions = append(d.versions, name+"="+version[:strings.LastIndexByte(version, '_')])
	}
	if _, err := os.Stat(root); err == nil {
		return d, nil
	}

	slog.Info("fetching packages of Debian 13", "packages", len(debs))
	if _, err := apt(append([]string{"install", "--yes", "--download-only"}, wanted...)...); err != nil {
		return debian{}, fmt.Errorf("fetching packages: %w", err)
	}
	stale, _ := filepath.Glob(filepath.Join(dir, "root-*"))
	for _, s := range stale {
		_ = os.RemoveAll(s)
	}
	stage := filepath.Join(dir, "root-stage") // what lies in its place is complete
	for _, deb := range debs {
		name, _, _ := strings.Cut(deb, "_")
		into := filepath.Join(stage, "others")
		if slices.Contains(basePackages, name) {
			into = filepath.Join(stage, "base")
		}
		if err := os.MkdirAll(into, 0o755); err != nil {
			return debian{}, err
		}
		if _, err := output(ctx, "dpkg-deb", "--extract", filepath.Join(dir, "cache/archives", deb), into); err != nil {
			return debian{}, fmt.Errorf("unpacking %s: %w", deb, err)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "cache/archives")); err != nil {
		return debian{}, err
	}
	return d, os.Rename(stage, root)
}

// debNames takes the file names out of what apt-get --print-uris prints, one line a package: 'URI' NAME SIZE DIGEST.
func debNames(uris []byte) []string {
	var names []string
	for line := range strings.Lines(string(uris)) {
		if f := strings.Fields(line); len(f) >= 2 && strings.HasSuffix(f[1], ".deb") {
			names = append(names, f[1])
		}
	}
	slices.Sort(names)
	return names
}

// output runs a program; its standard error becomes part of the error.
func output(ctx context.Context, name string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", name, err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out, nil
}
