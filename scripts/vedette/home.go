package main

import (
	"bufio"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"vedette.dev/shared/store"
)

// home is the folder in which Vedette keeps everything on this machine:
//
//	credentials   keys of the S3 server, made at the first start, in the form that S3 clients read
//	lock          held by the process that runs Vedette
//	up.json       where that one is to be found
//	s3/           what is in the buckets
//	logs/         what functions say, a file each
type home struct{ folder string }

func openHome(getenv func(string) string) (home, error) {
	folder := getenv("VEDETTE_DATA")
	if folder == "" {
		data := getenv("XDG_DATA_HOME")
		if data == "" {
			user, err := os.UserHomeDir()
			if err != nil {
				return home{}, fmt.Errorf("where to keep data? Set VEDETTE_DATA: %w", err)
			}
			data = filepath.Join(user, ".local", "share")
		}
		folder = filepath.Join(data, "vedette")
	}
	folder, err := filepath.Abs(folder) // the S3 server changes the working directory
	if err != nil {
		return home{}, err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return home{}, fmt.Errorf("make the data folder (VEDETTE_DATA names another): %w", err)
	}
	return home{folder}, nil
}

func (h home) path(name ...string) string {
	return filepath.Join(append([]string{h.folder}, name...)...)
}

// lock takes the folder for this process until the file is closed or the process ends. It returns nil if another process
// has it.
func (h home) lock() (*os.File, error) {
	file, err := os.OpenFile(h.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return nil, nil //nolint:nilnil // neither is there a lock nor is that an error
	}
	return nil, fmt.Errorf("lock %s: %w", file.Name(), err)
}

// address is where a running Vedette is to be found.
type address struct {
	PID   int          `json:"pid"`
	URL   string       `json:"url"` // of broker, functions and events
	Store store.Config `json:"store"`
}

func (h home) write(a address) error {
	text, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return err
	}
	return replace(h.path("up.json"), text)
}

// address reads where a running Vedette is; fs.ErrNotExist if none said so.
func (h home) address() (address, error) {
	var a address
	text, err := os.ReadFile(h.path("up.json"))
	if err != nil {
		return a, err
	}
	return a, json.Unmarshal(text, &a)
}

func (h home) forget() { _ = os.Remove(h.path("up.json")) }

const profile = "[vedette]"

// keys reads the keys of the S3 server, and makes them at the first start.
func (h home) keys() (access, secret string, err error) {
	file := h.path("credentials")
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		text = fmt.Appendf(nil, "%s\naws_access_key_id = vedette\naws_secret_access_key = %s%s\n", profile, rand.Text(), rand.Text())
		err = replace(file, text)
	}
	if err != nil {
		return "", "", fmt.Errorf("the keys of the S3 server: %w", err)
	}
	for lines := bufio.NewScanner(strings.NewReader(string(text))); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		switch strings.TrimSpace(name) {
		case "aws_access_key_id":
			access = strings.TrimSpace(value)
		case "aws_secret_access_key":
			secret = strings.TrimSpace(value)
		}
	}
	if access == "" || secret == "" {
		return "", "", fmt.Errorf("%s holds no keys: remove it, and new ones are made", file)
	}
	return access, secret, nil
}

// replace writes a file that only its owner may read, whole or not at all.
func replace(file string, text []byte) error {
	fresh := fmt.Sprintf("%s.%d", file, os.Getpid())
	if err := os.WriteFile(fresh, text, 0o600); err != nil {
		return err
	}
	return os.Rename(fresh, file)
}

// The largest log of a function that is gone on with; the one before it is kept.
const largestLog = 10 << 20

// log opens the log of a function.
func (h home) log(function string) (*os.File, error) {
	if err := os.MkdirAll(h.path("logs"), 0o700); err != nil {
		return nil, err
	}
	file := h.path("logs", function+".log")
	if info, err := os.Stat(file); err == nil && info.Size() > largestLog {
		if err := os.Rename(file, file+".old"); err != nil {
			return nil, err
		}
	}
	return os.OpenFile(file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}
