package main

import (
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

// openFlags say how a sealed file is opened; every command that reads one has
// them.
type openFlags struct {
	meta, customerKey          string
	legacySeals, legacyStreams bool
}

func (f *openFlags) register(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.customerKey, "customer-key-file", "", "file with the base64 of 32 bytes (SSE-C)")
	flags.BoolVar(&f.legacySeals, "allow-legacy-seal", false, "accept keys sealed by MinIO before 2017, which are bound to no name")
	flags.BoolVar(&f.legacyStreams, "allow-legacy-stream", false, "accept data in DARE 1.0, which has no end mark")
}

func (f *openFlags) registerMeta(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.meta, "meta", "", "metadata file (default: FILE.json)")
}

func (f *openFlags) options(stdin io.Reader) (*sse.OpenOptions, error) {
	o := &sse.OpenOptions{AllowLegacySeal: f.legacySeals, AllowLegacyStream: f.legacyStreams, Workers: workers()}
	if f.customerKey == "" {
		return o, nil
	}
	key, err := readCustomerKey(f.customerKey, stdin)
	o.CustomerKey = key
	return o, err
}

// openObject opens the key of a sealed file. A key server is looked for only
// if the object needs one.
func (a *app) openObject(cmd *cobra.Command, f *sealedFile, o *sse.OpenOptions) (*sse.Object, error) {
	client, err := a.clientFor(cmd, f)
	if err != nil {
		return nil, fmt.Errorf("failed to open %s: %w", f.path, err)
	}
	obj, err := sse.Open(cmd.Context(), client, f.name(), f.stored(f.size), o)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", f.path, diagnose(cmd.Context(), client, f, err))
	}
	return obj, nil
}

func (a *app) clientFor(cmd *cobra.Command, f *sealedFile) (*kms.Client, error) {
	d, err := f.describe()
	if err != nil {
		return nil, err
	}
	if d.Method == sse.C {
		return nil, nil
	}
	return a.keys.open(cmd, ringFlags{})
}

func (a *app) decryptCommand() *cobra.Command {
	var f openFlags
	var out, span string
	var force bool
	cmd := &cobra.Command{
		Use:   "decrypt [flags] FILE.sealed",
		Short: "open a sealed file",
		Long: `decrypt opens FILE.sealed by the metadata in FILE.sealed.json and writes OUT
(default: FILE; "-": standard output). OUT appears only when all of it was
authenticated; to standard output go verified packages only.`,
		Example: `  objseal decrypt report.pdf.sealed
  objseal decrypt --range 0-1023 -o - report.pdf.sealed | file -`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.decrypt(cmd, &f, args[0], out, span, force) },
	}
	f.register(cmd)
	f.registerMeta(cmd)
	cmd.Flags().StringVarP(&out, "output", "o", "", "file to write (default: FILE without .sealed)")
	cmd.Flags().StringVar(&span, "range", "", "only bytes `A-B`, both included; A- to the end, -N the last N")
	cmd.Flags().BoolVar(&force, "force", false, "overwrite OUT")
	return cmd
}

func (a *app) decrypt(cmd *cobra.Command, f *openFlags, path, out, span string, force bool) error {
	rng, err := parseRange(span)
	if err != nil {
		return err
	}
	if out == "" {
		trimmed, ok := strings.CutSuffix(path, ".sealed")
		if !ok {
			return usagef("the name %q does not end in .sealed: --output must say what to write", path)
		}
		out = trimmed
	}
	o, err := f.options(cmd.InOrStdin())
	if err != nil {
		return err
	}
	sealed, err := openSealed(path, f.meta)
	if err != nil {
		return err
	}
	defer sealed.Close()
	obj, err := a.openObject(cmd, sealed, o)
	if err != nil {
		return err
	}
	defer obj.Wipe()
	if out == "-" {
		_, err := read(cmd.Context(), obj, sealed, rng, cmd.OutOrStdout(), cmd.ErrOrStderr())
		return err
	}
	dst, err := create(out, 0o600, force, sealed.path, sealed.metaPath)
	if err != nil {
		return err
	}
	defer dst.discard()
	integrity, err := read(cmd.Context(), obj, sealed, rng, dst, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	n, err := dst.Seek(0, io.SeekCurrent)
	if err == nil {
		err = dst.commit()
	}
	if err != nil {
		return err
	}
	r := newResult(sealed, obj, integrity)
	r.Output, r.Bytes = out, n
	return a.print(cmd.OutOrStdout(), r, fmt.Sprintf("opened %s: %d bytes, %s%s, %s\n  %s\n", obj.Name(), n, obj.Method, underKey(obj.KMSKeyID), r.verified(), out))
}

// read copies a range of the plaintext to dst and says what was verified.
func read(ctx context.Context, obj *sse.Object, f *sealedFile, rng sse.Range, dst, stderr io.Writer) (sse.Integrity, error) {
	r, err := obj.NewReader(ctx, sse.FetchReaderAt(f), rng)
	if err != nil {
		return sse.Integrity{}, fmt.Errorf("%s: %w", f.path, err)
	}
	defer r.Close()
	w, done := progress(stderr, dst, "opening", r.Size())
	defer done()
	if _, err := r.WriteTo(w); err != nil {
		return sse.Integrity{}, fmt.Errorf("%s: %w", f.path, err)
	}
	return r.Integrity(), nil
}

// parseRange reads A-B, A- and -N, as HTTP does.
func parseRange(text string) (sse.Range, error) {
	if text == "" {
		return sse.Whole, nil
	}
	first, last, ok := strings.Cut(text, "-")
	a, errA := strconv.ParseUint(first, 10, 63)
	b, errB := strconv.ParseUint(last, 10, 63)
	switch {
	case !ok:
	case first == "" && errB == nil && b > 0:
		return sse.Range{Offset: -int64(b), Length: -1}, nil
	case last == "" && errA == nil:
		return sse.Range{Offset: int64(a), Length: -1}, nil
	case errA == nil && errB == nil && a <= b:
		return sse.Range{Offset: int64(a), Length: int64(min(b-a, 1<<62) + 1)}, nil
	}
	return sse.Range{}, usagef("--range %q is not A-B, A- or -N", text)
}

// result is what decrypt, verify and inspect print of an object.
type result struct {
	File       string   `json:"file"`
	Output     string   `json:"output,omitempty"`
	Bytes      int64    `json:"bytes_written,omitempty"`
	Bucket     string   `json:"bucket"`
	Object     string   `json:"object"`
	Size       int64    `json:"size"`
	StoredSize int64    `json:"stored_size"`
	SSE        string   `json:"sse"`
	KMSKeyID   string   `json:"kms_key_id,omitempty"`
	Context    any      `json:"context,omitempty"`
	Parts      int      `json:"parts,omitempty"`
	Compressed bool     `json:"compressed,omitempty"`
	LegacySeal bool     `json:"legacy_seal,omitempty"`
	ETag       string   `json:"etag,omitempty"`
	Checksums  []string `json:"checksums,omitempty"`
	Integrity  string   `json:"integrity,omitempty"`
	Evidence   string   `json:"evidence,omitempty"`
	Warning    string   `json:"warning,omitempty"`
	Kind       string   `json:"kind,omitempty"`
	Error      string   `json:"error,omitempty"`
}

func newResult(f *sealedFile, obj *sse.Object, i sse.Integrity) result {
	r := describeFile(f, obj.Description)
	r.Integrity, r.Evidence, r.Warning = string(i.Level), i.Evidence, i.Warning
	if etag, err := obj.ETag(); err != nil {
		r.Warning = err.Error()
	} else {
		r.ETag = etag
	}
	if sums, err := obj.Checksums(); err != nil {
		r.Warning = err.Error()
	} else {
		for _, s := range sums {
			r.Checksums = append(r.Checksums, s.Type.String()+":"+s.String())
		}
	}
	return r
}

func describeFile(f *sealedFile, d sse.Description) result {
	r := result{File: f.path, Bucket: f.Bucket, Object: f.Object, Size: d.Size, StoredSize: d.StoredSize, SSE: d.Method.String(),
		KMSKeyID: d.KMSKeyID, Compressed: d.Compressed, LegacySeal: d.LegacySeal}
	if len(d.Context) > 0 {
		r.Context = d.Context
	}
	if d.Multipart {
		r.Parts = len(f.Parts)
	}
	return r
}

func (r result) verified() string {
	s := r.Integrity + " verified"
	if r.Evidence != "" {
		s += " (" + r.Evidence + ")"
	}
	if r.Warning != "" {
		s += "; " + r.Warning
	}
	return s
}

func (a *app) print(w io.Writer, r any, text string) error {
	if a.json {
		return printJSON(w, r)
	}
	_, err := io.WriteString(w, text)
	return err
}
