package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/recovery"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

func (a *app) driveCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "drive",
		Short: "read the drives of a MinIO deployment without its server",
		Long: `drive reads what a MinIO server left on its drives: every object and version,
also where drives are missing or damaged, as long as enough is left of each.

DRIVE is the root directory of one drive. Give all drives that are left of the
deployment, in any order; which is which is read from them. Nothing is ever
written to a drive: a read-only mount will do.`,
		Example: `  objseal drive ls /mnt/disk{1...4}
  objseal drive recover /mnt/disk* --out restored --dry-run
  objseal drive recover /mnt/disk* --out restored --all-versions --report r.jsonl`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.driveLs(), a.driveCat(), a.driveRecover(), a.driveConfig())
	return cmd
}

// splitDrives parts the drives from what else the command line names, which
// comes last. A directory that holds .minio.sys is a drive, whatever its name; what looks
// like a path is one too, and is refused later if it is none.
func splitDrives(args []string) (roots []string, rest string) {
	if n := len(args) - 1; n > 0 && !isDriveArg(args[n]) {
		return args[:n], args[n]
	}
	return args, ""
}

func isDriveArg(arg string) bool {
	if info, err := os.Stat(filepath.Join(arg, drive.SystemBucket)); err == nil && info.IsDir() {
		return true
	}
	return filepath.IsAbs(arg) || arg == "." || arg == ".." || strings.HasPrefix(arg, "./") || strings.HasPrefix(arg, "../")
}

// hasBucket refuses a bucket that no drive has: it was misspelt.
func hasBucket(ctx context.Context, d *drive.Deployment, bucket string) error {
	if bucket == "" || bucket == drive.SystemBucket {
		return nil
	}
	buckets, err := d.Buckets(ctx)
	if err == nil && !slices.Contains(buckets, bucket) {
		err = fmt.Errorf("bucket %q: %w", bucket, drive.ErrNotFound)
	}
	return err
}

// clientIfAny opens the source of keys; what needs none is read without.
func (a *app) clientIfAny(cmd *cobra.Command) (*kms.Client, error) {
	client, err := a.keys.open(cmd, ringFlags{})
	if errors.Is(err, kms.ErrNotConfigured) {
		return nil, nil // and says so where a key is needed
	}
	return client, err
}

// readCustomerKeys reads the file of --customer-keys, if there is one.
func readCustomerKeys(cmd *cobra.Command, path string) (*recovery.CustomerKeys, error) {
	if path == "" {
		return nil, nil
	}
	in := cmd.InOrStdin()
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("failed to read customer keys: %w", err)
		}
		defer f.Close()
		in = f
	}
	keys, err := recovery.ReadCustomerKeys(in)
	if err != nil {
		return nil, fmt.Errorf("failed to read %s: %w", path, err)
	}
	return keys, nil
}

func (a *app) driveCat() *cobra.Command {
	var version, span, keyFile, keysFile string
	cmd := &cobra.Command{
		Use:   "cat DRIVE... BUCKET/OBJECT",
		Short: "write one object to standard output",
		Long: `cat writes the latest version of an object, or the one of --version-id, to
standard output. What was damaged and could be repaired is told on standard
error.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) < 2 {
				return usagef("%s needs at least one drive, and BUCKET/OBJECT", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			rng, err := parseRange(span)
			if err != nil {
				return err
			}
			n := len(args) - 1
			bucket, object, ok := strings.Cut(args[n], "/")
			if !ok || bucket == "" || object == "" {
				return usagef("%q is not BUCKET/OBJECT", args[n])
			}
			open := &drive.OpenOptions{Workers: workers()}
			if keyFile != "" {
				if open.CustomerKey, err = readCustomerKey(keyFile, cmd.InOrStdin()); err != nil {
					return err
				}
			}
			keys, err := readCustomerKeys(cmd, keysFile)
			if err != nil {
				return err
			}
			defer keys.Wipe()
			d, err := drive.Open(cmd.Context(), args[:n], &drive.Options{Report: func(f drive.Finding) {
				fmt.Fprintf(cmd.ErrOrStderr(), "objseal: note: %s\n", f)
			}})
			if err != nil {
				return err
			}
			defer d.Close()
			v, err := lookup(cmd.Context(), d, bucket, object, version)
			if err != nil {
				return err
			}
			if keyFile == "" {
				open.CustomerKey, _ = keys.Find(bucket, object, v.ID)
			}
			return a.cat(cmd, v, open, rng)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&version, "version-id", "", "the version to read (default: the latest)")
	flags.StringVar(&span, "range", "", "only bytes `A-B`, both included; A- to the end, -N the last N")
	flags.StringVar(&keyFile, "customer-key-file", "", "file with the base64 of 32 bytes (SSE-C)")
	flags.StringVar(&keysFile, "customer-keys", "", "file of customer keys, as drive recover takes it")
	return cmd
}

// lookup finds a version of an object.
func lookup(ctx context.Context, d *drive.Deployment, bucket, object, version string) (*drive.Version, error) {
	o, err := d.Lookup(ctx, bucket, object)
	if err != nil {
		return nil, err
	}
	v := o.Latest()
	if version != "" {
		v = o.Version(version)
	}
	name := sse.ObjectName{Bucket: bucket, Object: object}
	switch {
	case v != nil && v.Type == drive.DeleteMarker:
		return nil, fmt.Errorf("%s: %w: version %s is a delete marker", name, drive.ErrDeleted, v.ID)
	case v != nil:
		return v, nil
	case len(o.Versions) == 0 && len(o.Findings) > 0:
		return nil, fmt.Errorf("%s: %w: %s", name, drive.ErrDamaged, o.Findings[0])
	case version != "":
		return nil, fmt.Errorf("%s, version %q: %w", name, version, drive.ErrNotFound)
	default:
		return nil, fmt.Errorf("%s: %w", name, drive.ErrDeleted)
	}
}

func (a *app) cat(cmd *cobra.Command, v *drive.Version, open *drive.OpenOptions, rng sse.Range) error {
	var client *kms.Client
	if d, err := v.Describe(); err != nil {
		return err
	} else if d.Method == sse.S3 || d.Method == sse.KMS {
		if client, err = a.keys.open(cmd, ringFlags{}); err != nil {
			return err
		}
	}
	c, err := v.Open(cmd.Context(), client, open)
	if errors.Is(err, drive.ErrInClear) {
		fmt.Fprintf(cmd.ErrOrStderr(), "objseal: note: %v\n", drive.ErrInClear)
		open.InClear = true
		c, err = v.Open(cmd.Context(), client, open)
	}
	if err != nil {
		return err
	}
	defer c.Wipe()
	r, err := c.NewReader(cmd.Context(), rng)
	if err != nil {
		return err
	}
	defer r.Close()
	w, done := progress(cmd.ErrOrStderr(), cmd.OutOrStdout(), "reading", r.Size())
	defer done()
	_, err = r.WriteTo(w)
	return err
}
