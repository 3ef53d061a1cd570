package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/recovery"
	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

// recoverFlags are those of drive recover.
type recoverFlags struct {
	out, report, customerKeys, shard, uploadNames string
	s3Endpoint                                    string
	resume, checkAll                              bool
	o                                             recovery.Options
}

func (a *app) driveRecover() *cobra.Command {
	var f recoverFlags
	cmd := &cobra.Command{
		Use:   "recover DRIVE... --out DIR|-|s3://BUCKET",
		Short: "take everything that can be read to another place",
		Long: `recover takes the latest version of every object, or with --all-versions every
version, off the drives, opens what is encrypted, and writes it to --out:

  DIR   a directory:
          BUCKET/OBJECT                    latest versions; a slash at the end of a
                                           name is written __XLDIR__
          .versions/BUCKET/OBJECT/VERSION  other versions, and a latest one whose
                                           name is the directory of others too
          .versions/.names/HASH/VERSION    where a name is impossible in DIR
          .uploads/BUCKET/OBJECT/UPLOAD    unfinished uploads, with --uploads
  -     a tar stream to standard output, with the same names, and the metadata in
        PAX records (OBJSEAL.*)
  s3://BUCKET/PREFIX
        a bucket of another store: names begin with that of their old bucket
  s3://, s3://NAME-*
        a bucket of another store for each, made if it is missing

To S3, content type, user metadata and tags go with the content, and versions
come in their order where the bucket has versioning. The store is that of
--s3-endpoint or AWS_ENDPOINT_URL; AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
AWS_SESSION_TOKEN, AWS_REGION and AWS_CA_BUNDLE are used as elsewhere.

The report has one JSON line a version; the names of bucket, object and version
there tell what a file is, user metadata is there too. What fails is a line with
status "error" and its kind, everything else is recovered all the same; the exit
code is 0 only if nothing failed. Lines come as versions are finished.

--resume goes on with the report of a run that was ended, at whatever moment:
what it says is recovered, and is still there, is left alone.

--customer-keys is a file of JSON lines with the keys of SSE-C objects: "bucket",
"object" (a name) or "prefix" (of names), "version_id" (optional), "key" (base64).
The most exact line wins.

Objects are worked on in parallel, in some 100 MiB of memory however large they
are.`,
		Example: `  objseal drive recover /mnt/disk* --out restored --dry-run
  objseal drive recover /mnt/disk* --out restored --all-versions --report r.jsonl
  objseal drive recover /mnt/disk* --out restored --all-versions --report r.jsonl --resume
  objseal drive recover /mnt/disk* --out - --bucket photos | tar -x`,
		Args: someDrives,
		RunE: func(cmd *cobra.Command, args []string) error { return a.recover(cmd, &f, args) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.out, "out", "", "`DIR` to write to, - for a tar stream, or s3://BUCKET/PREFIX, or s3:// for a bucket each")
	flags.StringVar(&f.s3Endpoint, "s3-endpoint", "", "`URL` of the store of --out s3://… (default: AWS_ENDPOINT_URL)")
	flags.StringVar(&f.report, "report", "", "`FILE` for the report: one JSON line a version")
	flags.BoolVar(&f.resume, "resume", false, "go on with the report of an earlier run")
	flags.BoolVar(&f.o.DryRun, "dry-run", false, "tell what would be recovered and which keys that takes; write nothing but the report")
	flags.StringVar(&f.o.Bucket, "bucket", "", "only this bucket")
	flags.StringVar(&f.o.Prefix, "prefix", "", "only names that begin so; with --bucket")
	flags.BoolVar(&f.o.AllVersions, "all-versions", false, "every version, not the latest alone")
	flags.StringVar(&f.customerKeys, "customer-keys", "", "`FILE` with the keys of SSE-C objects")
	flags.BoolVar(&f.checkAll, "check-all", false, "read every shard, not only those it takes, so that each bad one is told")
	flags.StringVar(&f.shard, "shard", "", "only share `I/N` of the objects, I from 1, to spread the work")
	flags.BoolVar(&f.o.System, "include-system", false, "the server's own objects too, in .minio.sys")
	flags.BoolVar(&f.o.Deleted, "include-deleted", false, "versions too whose deletion the server had begun")
	flags.BoolVar(&f.o.Unsettled, "include-unsettled", false, "versions too that the drives do not agree on, such as failed writes")
	flags.BoolVar(&f.o.Uploads, "uploads", false, "unfinished uploads too; their names are guessed from those of objects")
	flags.StringVar(&f.uploadNames, "upload-names", "", "`FILE` with names that uploads may have, one BUCKET/OBJECT a line")
	return cmd
}

// check completes the options, and refuses what makes no sense together.
func (f *recoverFlags) check(cmd *cobra.Command) error {
	switch {
	case f.out == "" && !f.o.DryRun:
		return usagef("--out must say where to")
	case f.resume && f.report == "":
		return usagef("--resume needs the --report of the earlier run")
	case f.report == "-" && (f.resume || f.out == "-"):
		return usagef("standard output is no place for this report")
	case f.o.Prefix != "" && f.o.Bucket == "":
		return usagef("--prefix needs --bucket")
	case f.out == "-" && !f.o.DryRun && isTerminal(cmd.OutOrStdout()):
		return usagef("a tar stream is not for a terminal")
	case f.uploadNames != "" && !f.o.Uploads:
		return usagef("--upload-names needs --uploads")
	}
	if f.shard == "" {
		return nil
	}
	i, n, ok := strings.Cut(f.shard, "/")
	share, err := strconv.Atoi(i)
	shares, err2 := strconv.Atoi(n)
	if !ok || err != nil || err2 != nil || share < 1 || share > shares {
		return usagef("--shard %q is not I/N, such as 1/4", f.shard)
	}
	f.o.Shard, f.o.Shards = share-1, shares
	return nil
}

func (a *app) recover(cmd *cobra.Command, f *recoverFlags, roots []string) (err error) {
	if err := f.check(cmd); err != nil {
		return err
	}
	if err := f.offDrives(roots); err != nil {
		return err
	}
	if f.o.Client, err = a.clientIfAny(cmd); err != nil {
		return err
	}
	if f.o.CustomerKeys, err = readCustomerKeys(cmd, f.customerKeys); err != nil {
		return err
	}
	defer f.o.CustomerKeys.Wipe()
	if f.o.UploadNames, err = readUploadNames(f.uploadNames); err != nil {
		return err
	}

	// The drives are looked at before anything is made.
	var run *recovery.Recovery
	d, err := drive.Open(cmd.Context(), roots, &drive.Options{CheckAll: f.checkAll, Report: func(found drive.Finding) {
		if run != nil {
			run.Finding(found)
		}
	}})
	if err != nil {
		return err
	}
	defer d.Close()
	if err := hasBucket(cmd.Context(), d, f.o.Bucket); err != nil {
		return err
	}
	var sink recovery.Sink
	if !f.o.DryRun {
		if sink, err = f.sink(cmd, d); err != nil {
			return err
		}
	}
	if f.o.Report, err = f.openReport(cmd, sink); err != nil {
		if sink != nil {
			sink.Close(cmd.Context())
		}
		return err
	}
	shown := &shownErrors{w: cmd.ErrOrStderr()}
	f.o.Failed = shown.add
	run = recovery.New(sink, &f.o)
	done := a.recoverProgress(cmd, run, d, &f.o)
	sum, err := run.Run(cmd.Context(), d)
	done()
	if e := f.o.Report.Close(); err == nil {
		err = e
	}
	if err != nil {
		return &endedError{err, f.report != ""}
	}
	stdout := cmd.OutOrStdout()
	if f.out == "-" || f.report == "-" {
		stdout = cmd.ErrOrStderr()
	}
	if err := a.print(stdout, summaryResult(sum), summaryText(sum, f)); err != nil {
		return err
	}
	if sum.Failed > 0 {
		return &notRecoveredError{sum.Failed, f.report}
	}
	return nil
}

// offDrives sees to it that neither output nor report is written to a drive.
func (f *recoverFlags) offDrives(roots []string) error {
	if f.report != "" && f.report != "-" {
		if err := offDrives(f.report, roots); err != nil {
			return err
		}
	}
	if f.o.DryRun || f.out == "-" || strings.HasPrefix(f.out, "s3://") {
		return nil
	}
	return offDrives(f.out, roots)
}

// sink opens the output.
func (f *recoverFlags) sink(cmd *cobra.Command, d *drive.Deployment) (recovery.Sink, error) {
	switch {
	case f.out == "-":
		return recovery.NewTar(cmd.OutOrStdout()), nil
	case strings.HasPrefix(f.out, "s3://"):
		return f.openS3(d)
	}
	dir, err := recovery.NewDir(f.out, fmt.Sprintf("%d-of-%d", f.o.Shard+1, max(f.o.Shards, 1)))
	if err != nil {
		return nil, fmt.Errorf("failed to write to %s: %w", f.out, err)
	}
	return dir, nil
}

func (f *recoverFlags) openReport(cmd *cobra.Command, sink recovery.Sink) (*recovery.Report, error) {
	switch {
	case f.report == "":
		return nil, nil
	case f.report == "-":
		return recovery.NewReport(cmd.OutOrStdout()), nil
	case f.resume:
		holds := func(*recovery.Line) bool { return true }
		if s, ok := sink.(recovery.ResumableSink); ok {
			holds = func(l *recovery.Line) bool {
				return l.DeleteMarker || s.Holds(cmd.Context(), l.Path, l.Size)
			}
		}
		return recovery.ResumeReport(f.report, holds)
	}
	r, err := recovery.CreateReport(f.report)
	if errors.Is(err, os.ErrExist) {
		return nil, fmt.Errorf("%s is not written: %w", f.report, errReportExists)
	}
	return r, err
}

var errReportExists = errors.New("there is a report already")

// readUploadNames reads one BUCKET/OBJECT a line.
func readUploadNames(path string) (names []sse.ObjectName, err error) {
	if path == "" {
		return nil, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("failed to read names: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\r\n")
		bucket, object, ok := strings.Cut(line, "/")
		switch {
		case line == "":
		case !ok || bucket == "" || object == "":
			return nil, usagef("%s: %q is not BUCKET/OBJECT", path, line)
		default:
			names = append(names, sse.ObjectName{Bucket: bucket, Object: object})
		}
	}
	return names, nil
}

// An endedError is what ended a recovery before its end.
type endedError struct {
	err    error
	report bool
}

func (e *endedError) Error() string { return "the recovery was ended: " + e.err.Error() }
func (e *endedError) Unwrap() error { return e.err }

// A notRecoveredError counts what a complete recovery could not recover.
type notRecoveredError struct {
	n      int64
	report string
}

func (e *notRecoveredError) Error() string {
	return fmt.Sprintf("%s not recovered", count(e.n, "version was", "versions were"))
}

func count(n int64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// shownErrors puts the first failures on standard error.
type shownErrors struct {
	w io.Writer
	n int
}

func (s *shownErrors) add(l *recovery.Line) {
	const most = 10
	if s.n++; s.n > most {
		return
	}
	name := ""
	if l.Object != "" {
		name = quoteName(l.Bucket + "/" + l.Object)
		if l.VersionID != "" && l.VersionID != "null" {
			name += " (" + l.VersionID + ")"
		}
		name += ": "
	}
	fmt.Fprintf(s.w, "objseal: not recovered: %s%s: %s\n", name, l.Kind, l.Error)
	if s.n == most {
		fmt.Fprintf(s.w, "objseal: not recovered: … only the first %d are shown\n", most)
	}
}

type keyResult struct {
	SSE      string   `json:"sse"`
	KMSKeyID string   `json:"kms_key_id,omitempty"`
	Versions int64    `json:"versions"`
	Bytes    int64    `json:"bytes"`
	Missing  int64    `json:"missing"`
	Kind     sse.Kind `json:"kind,omitempty"`
	Error    string   `json:"error,omitempty"`
}

func keyResults(uses []recovery.KeyUse) (keys []keyResult) {
	for _, u := range uses {
		r := keyResult{SSE: u.Method.String(), KMSKeyID: u.KMSKeyID, Versions: u.Versions, Bytes: u.Bytes, Missing: u.Missing}
		if u.Method == sse.None {
			r.SSE = "none"
		}
		if u.Err != nil {
			r.Kind, r.Error = recovery.KindOf(u.Err), u.Err.Error()
		}
		keys = append(keys, r)
	}
	slices.SortFunc(keys, func(a, b keyResult) int {
		return strings.Compare(a.SSE+"\x00"+a.KMSKeyID, b.SSE+"\x00"+b.KMSKeyID)
	})
	return keys
}

func summaryResult(s recovery.Summary) any {
	return map[string]any{"ok": s.OK, "skipped": s.Skipped, "error": s.Failed, "earlier": s.Earlier, "delete_markers": s.DeleteMarkers,
		"planned": s.Planned, "bytes": s.Bytes, "findings": s.Findings, "keys": keyResults(s.Keys)}
}

// summaryText tells what was done, or, of a dry run, what it would take.
func summaryText(s recovery.Summary, f *recoverFlags) string {
	var b strings.Builder
	if f.o.DryRun {
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintf(w, "needs\tversions\tbytes\t\n")
		for _, k := range keyResults(s.Keys) {
			needs, state := "KMS key "+kms.QuoteKeyID(k.KMSKeyID)+" ("+k.SSE+")", "opens"
			switch k.SSE {
			case "none":
				needs, state = "no key", ""
			case sse.C.String():
				needs = "customer keys (SSE-C)"
			}
			if k.Missing > 0 {
				state = fmt.Sprintf("missing for %d", k.Missing)
				if k.SSE != sse.C.String() {
					state += fmt.Sprintf(": %s: %s", k.Kind, k.Error)
				}
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", needs, k.Versions, k.Bytes, state)
		}
		w.Flush()
		fmt.Fprintf(&b, "%s can be recovered, as far as shows before data is read", count(s.Planned, "version", "versions"))
		if n := s.Skipped - s.Planned; n > 0 {
			fmt.Fprintf(&b, "; %d would be skipped", n)
		}
		b.WriteByte('\n')
		return b.String()
	}
	fmt.Fprintf(&b, "recovered %s, %s", count(s.OK-s.DeleteMarkers, "version", "versions"), count(s.Bytes, "byte", "bytes"))
	if s.DeleteMarkers > 0 {
		fmt.Fprintf(&b, "; %s", count(s.DeleteMarkers, "delete marker", "delete markers"))
	}
	if s.Earlier > 0 {
		fmt.Fprintf(&b, "; %s by an earlier run", count(s.Earlier, "version", "versions"))
	}
	if s.Skipped > 0 {
		fmt.Fprintf(&b, "; skipped %d", s.Skipped)
	}
	if s.Findings > 0 {
		fmt.Fprintf(&b, "; %s on the drives", count(s.Findings, "problem", "problems"))
	}
	b.WriteByte('\n')
	if f.out != "-" {
		fmt.Fprintf(&b, "  %s\n", f.out)
	}
	return b.String()
}

// recoverProgress shows how far the run has come, on a terminal only: how much there
// is, and so the time that is left, shows when a second walk has counted it.
func (a *app) recoverProgress(cmd *cobra.Command, run *recovery.Recovery, d *drive.Deployment, o *recovery.Options) (done func()) {
	stderr := cmd.ErrOrStderr()
	if !isTerminal(stderr) || o.DryRun {
		return func() {}
	}
	bar := progressbar.NewOptions64(-1,
		progressbar.OptionSetWriter(stderr),
		progressbar.OptionSetDescription("recovering"),
		progressbar.OptionShowBytes(true),
		progressbar.OptionUseIECUnits(true),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish(),
		progressbar.OptionSetWidth(20))
	ctx, cancel := context.WithCancel(cmd.Context())
	total := make(chan recovery.Progress, 1)
	ended := make(chan struct{}, 2)
	go func() {
		defer func() { ended <- struct{}{} }()
		if p, err := recovery.Count(ctx, d, o); err == nil {
			total <- p
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		of := ""
		for {
			select {
			case <-ctx.Done():
				return
			case p := <-total:
				bar.ChangeMax64(max(p.Bytes, 1))
				of = fmt.Sprintf(" of %d", p.Versions)
			case <-tick.C:
			}
			p := run.Progress()
			bar.Describe(fmt.Sprintf("%d%s versions", p.Versions, of))
			bar.Set64(p.Bytes)
		}
	}()
	return func() {
		cancel()
		<-ended
		<-ended
		bar.Finish()
	}
}
