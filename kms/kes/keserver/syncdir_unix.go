//go:build !windows

package keserver

import (
	"errors"
	"os"
)

// syncDir makes durable which files are in the directory.
func syncDir(root *os.Root) error {
	f, err := root.Open(".")
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
