package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/recovery"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

var errNotOnDrive = errors.New("it is not on a drive of MinIO's: no directory above it has one named .minio.sys")

// isDrivePath reports whether a path is a directory, or the metadata of an object on a drive.
func isDrivePath(path string) bool {
	info, err := os.Stat(path)
	return err == nil && (info.IsDir() || filepath.Base(path) == "xl.meta" || filepath.Base(path) == "xl.json")
}

// drivePath finds the drive that a path is on, and which object it is, or belongs to.
func drivePath(path string) (root, bucket, object string, err error) {
	at, err := filepath.Abs(path)
	if err != nil {
		return "", "", "", err
	}
	for dir := at; ; dir = filepath.Dir(dir) {
		if object == "" && (isFile(filepath.Join(dir, "xl.meta")) || isFile(filepath.Join(dir, "xl.json"))) {
			object = dir
		}
		if info, err := os.Stat(filepath.Join(dir, drive.SystemBucket)); err == nil && info.IsDir() {
			root = dir
			break
		}
		if dir == filepath.Dir(dir) {
			return "", "", "", fmt.Errorf("%s: %w", path, errNotOnDrive)
		}
	}
	if object == "" {
		return "", "", "", fmt.Errorf("%s: %w: there is no xl.meta", path, drive.ErrNotFound)
	}
	name, err := filepath.Rel(root, object)
	if err != nil {
		return "", "", "", err
	}
	bucket, object, _ = strings.Cut(filepath.ToSlash(name), "/")
	if base, ok := strings.CutSuffix(object, "__XLDIR__"); ok {
		object = base + "/"
	}
	return root, bucket, object, nil
}

func isFile(path string) bool {
	info, err := os.Lstat(path)
	return err == nil && info.Mode().IsRegular()
}

// inspectDrive tells what one drive knows of an object.
func (a *app) inspectDrive(cmd *cobra.Command, path string) error {
	root, bucket, object, err := drivePath(path)
	if err != nil {
		return err
	}
	d, err := drive.Open(cmd.Context(), []string{root}, nil)
	if err != nil {
		return err
	}
	defer d.Close()
	o, err := d.Lookup(cmd.Context(), bucket, object)
	if err != nil {
		return err
	}
	if a.json {
		return printJSON(cmd.OutOrStdout(), inspected(o))
	}
	_, err = fmt.Fprint(cmd.OutOrStdout(), inspectedText(o))
	return err
}

type driveResult struct {
	Bucket    string           `json:"bucket"`
	Object    string           `json:"object"`
	Versions  []*recovery.Line `json:"versions"`
	Unsettled []*recovery.Line `json:"unsettled,omitempty"`
	Findings  []string         `json:"findings,omitempty"`
}

func inspected(o *drive.Object) driveResult {
	r := driveResult{Bucket: o.Bucket, Object: o.Name, Versions: []*recovery.Line{}}
	for _, v := range o.Versions {
		r.Versions = append(r.Versions, recovery.Describe(v))
	}
	for _, v := range o.Unsettled {
		r.Unsettled = append(r.Unsettled, recovery.Describe(v))
	}
	for _, f := range o.Findings {
		r.Findings = append(r.Findings, f.String())
	}
	return r
}

func inspectedText(o *drive.Object) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "object\t%s\n", quoteName(o.Bucket+"/"+o.Name))
	for _, f := range o.Findings {
		fmt.Fprintf(w, "problem\t%s\n", f)
	}
	for i, v := range append(o.Versions, o.Unsettled...) {
		l := recovery.Describe(v)
		mark := ""
		switch {
		case l.IsLatest:
			mark = ", the latest"
		case i >= len(o.Versions):
			mark = ", on too few drives"
		}
		fmt.Fprintf(w, "version\t%s%s\n", v.ID, mark)
		if l.ModTime != nil {
			fmt.Fprintf(w, "  written\t%s\n", l.ModTime.Format("2006-01-02 15:04:05 UTC"))
		}
		if l.DeleteMarker {
			fmt.Fprintf(w, "  delete marker\t\n")
			continue
		}
		if l.Error != "" {
			fmt.Fprintf(w, "  problem\t%s\n", l.Error)
		}
		fmt.Fprintf(w, "  encryption\t%s\n", l.SSE)
		switch l.SSE {
		case sse.C.String():
			fmt.Fprintf(w, "  needs\tthe customer key it was sealed with\n")
		case sse.S3.String(), sse.KMS.String():
			fmt.Fprintf(w, "  needs\tKMS key %s\n", kms.QuoteKeyID(l.KMSKeyID))
		}
		fmt.Fprintf(w, "  plaintext\t%d bytes\n", l.Size)
		where := ", in part files"
		switch {
		case v.Inline:
			where = ", in xl.meta"
		case v.Size == 0 || v.Tier != nil:
			where = ""
		}
		fmt.Fprintf(w, "  stored\t%d bytes%s\n", v.Size, where)
		if l.Parts > 0 {
			fmt.Fprintf(w, "  parts\t%d\n", l.Parts)
		}
		if l.Compressed {
			fmt.Fprintf(w, "  compressed\tS2\n")
		}
		fmt.Fprintf(w, "  erasure code\t%d data + %d parity\n", v.DataShards, v.ParityShards)
		for _, f := range v.Findings {
			fmt.Fprintf(w, "  problem\t%s\n", f)
		}
	}
	w.Flush()
	return b.String()
}
