package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

var errOnDrive = errors.New("nothing is written to a drive")

// offDrives refuses an output that is on a drive, or has one in it: there, the name
// of a bucket could be that of the drive.
func offDrives(out string, roots []string) error {
	at, err := deepest(out)
	if err != nil {
		return err
	}
	for _, root := range roots {
		drive, err := filepath.EvalSymlinks(root)
		if err != nil {
			continue // which opening it tells
		}
		if drive, err = filepath.Abs(drive); err != nil {
			return err
		}
		if within(at, drive) || within(drive, at) && isDir(out) {
			return fmt.Errorf("%q and the drive %q lie in one another: %w", out, root, errOnDrive)
		}
	}
	return nil
}

// deepest is what there is already of a path, without links.
func deepest(path string) (string, error) {
	path, err := filepath.Abs(path)
	for err == nil {
		at, e := filepath.EvalSymlinks(path)
		if e == nil || path == filepath.Dir(path) {
			return at, e
		}
		path = filepath.Dir(path)
	}
	return "", err
}

// within reports whether a path is another one, or lies below it.
func within(path, top string) bool {
	want, err := os.Stat(top)
	if err != nil {
		return false
	}
	for {
		if info, err := os.Stat(path); err == nil && os.SameFile(info, want) {
			return true
		}
		if path == filepath.Dir(path) {
			return false
		}
		path = filepath.Dir(path)
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
