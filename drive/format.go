package drive

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
)

const (
	formatFile = SystemBucket + "/format.json"
	maxFormat  = 8 << 20 // a thousand drives take 40 KiB

	// offlineID stands in sets for a slot whose drive was away.
	offlineID = "ffffffff-ffff-ffff-ffff-ffffffffffff"
)

// format is what a format.json says (drive spec section 2).
type format struct {
	deployment string
	this       string
	sets       [][]string
}

// parseFormat reads hostile bytes. Errors: ErrUnsupported for formats that are
// refused, ErrDamaged for what no server writes.
func parseFormat(b []byte) (*format, error) {
	var f struct {
		Version, Format, ID string
		XL                  struct {
			Version, This, Drive string
			Sets                 [][]string
			JBOD                 []string
		}
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return nil, fmt.Errorf("%w: format.json: %w", ErrDamaged, err)
	}
	out := &format{deployment: f.ID, this: f.XL.This, sets: f.XL.Sets}
	switch {
	case f.Version != "1":
		return nil, fmt.Errorf("%w: format.json has version %q", ErrUnsupported, cut(f.Version))
	case f.Format == "fs":
		return nil, fmt.Errorf("%w: format \"fs\" is not erasure coded: its files are the objects", ErrUnsupported)
	case f.Format != "xl" && f.Format != "xl-single":
		return nil, fmt.Errorf("%w: format %q", ErrUnsupported, cut(f.Format))
	}
	switch f.XL.Version {
	case "1":
		out.this, out.sets = f.XL.Drive, [][]string{f.XL.JBOD}
	case "2", "3":
	default:
		return nil, fmt.Errorf("%w: format.json has xl version %q", ErrUnsupported, cut(f.XL.Version))
	}
	seen := make(map[string]bool)
	for _, set := range out.sets {
		if len(set) == 0 || len(set) > maxShards || len(set) != len(out.sets[0]) {
			return nil, fmt.Errorf("%w: format.json has a set of %d drives", ErrDamaged, len(set))
		}
		for _, id := range set {
			if seen[id] && id != offlineID && id != "" {
				return nil, fmt.Errorf("%w: format.json names a drive twice", ErrDamaged)
			}
			seen[id] = true
		}
	}
	if out.this == "" || out.this == offlineID || !seen[out.this] {
		return nil, fmt.Errorf("%w: format.json does not tell which drive this is", ErrDamaged)
	}
	if f.Format == "xl-single" && len(seen) != 1 {
		return nil, fmt.Errorf("%w: format.json of a single drive names %d", ErrDamaged, len(seen))
	}
	return out, nil
}

// cut keeps a hostile text from filling the screen.
func cut(s string) string {
	if len(s) > 60 {
		return s[:60] + "…"
	}
	return s
}

// samePool reports whether two drives have the same sets, and fills slots of a
// that were offline when its drive was written.
func samePool(a, b [][]string) bool {
	if len(a) != len(b) || len(a[0]) != len(b[0]) {
		return false
	}
	common := 0
	for i := range a {
		for j := range a[i] {
			switch x, y := a[i][j], b[i][j]; {
			case offline(x) || offline(y):
			case x != y:
				return false
			default:
				common++
			}
		}
	}
	if common == 0 {
		return false
	}
	for i := range a {
		for j := range a[i] {
			if offline(a[i][j]) {
				a[i][j] = b[i][j]
			}
		}
	}
	return true
}

func offline(id string) bool { return id == "" || id == offlineID }

// readFormat returns the format of a drive; fs.ErrNotExist inside the error if
// it has none.
func readFormat(d *mount) (*format, error) {
	b, err := d.readFile(formatFile, maxFormat)
	if err != nil {
		return nil, err
	}
	return parseFormat(b)
}

// isDrive reports whether a directory without format.json was a drive once.
func isDrive(d *mount) bool {
	info, err := d.root.Lstat(SystemBucket)
	return err == nil && info.IsDir()
}

// refusal is a Finding about a drive that is left out.
func refusal(d *mount, err error) Finding {
	f := Finding{Problem: DriveRefused, Drive: d.path, Block: -1, Detail: err.Error()}
	if errors.Is(err, fs.ErrNotExist) {
		f.Detail = ErrNoDrive.Error()
	}
	return f
}
