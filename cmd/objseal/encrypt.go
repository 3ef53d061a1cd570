package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
	"github.com/objseal/objseal/stream"
)

type encryptFlags struct {
	sse, bucket, object, kmsKey, customerKey string
	context                                  []string
	out, meta                                string
	newKey, force                            bool
}

func (a *app) encryptCommand() *cobra.Command {
	var f encryptFlags
	cmd := &cobra.Command{
		Use:   "encrypt [flags] FILE",
		Short: "seal a file as an object",
		Long: `encrypt seals FILE ("-": standard input) and writes OUT (default FILE.sealed),
then OUT.json: the metadata that a storage backend keeps. Both are needed to
open it again.`,
		Example: `  objseal encrypt report.pdf
  objseal encrypt --sse kms --kms-key backup --context tenant=a report.pdf
  objseal encrypt --sse c --customer-key-file my.key report.pdf`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return a.encrypt(cmd, &f, args[0]) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.sse, "sse", "s3", "encryption: s3 (default key), kms (named key, context) or c (customer key)")
	flags.StringVar(&f.bucket, "bucket", "files", "bucket of the object; bound to the sealed key")
	flags.StringVar(&f.object, "object", "", "name of the object; bound to the sealed key (default: FILE's base name)")
	flags.StringVar(&f.kmsKey, "kms-key", "", "name of the key that seals the data key (default: the default key)")
	flags.StringArrayVar(&f.context, "context", nil, "`k=v` pair that the data key is bound to; may be repeated (SSE-KMS)")
	flags.StringVar(&f.customerKey, "customer-key-file", "", "file with the base64 of 32 bytes (SSE-C)")
	flags.StringVarP(&f.out, "output", "o", "", "file to write (default: FILE.sealed)")
	flags.StringVar(&f.meta, "meta", "", "metadata file to write (default: OUT.json)")
	flags.BoolVar(&f.newKey, "new-key", false, "make the local key ring if there is none and nothing else is configured")
	flags.BoolVar(&f.force, "force", false, "overwrite OUT and OUT.json")
	return cmd
}

func (a *app) encrypt(cmd *cobra.Command, f *encryptFlags, path string) (err error) {
	request, err := f.request(cmd.InOrStdin())
	if err != nil {
		return err
	}
	body, size := cmd.InOrStdin(), int64(-1)
	switch {
	case path != "-":
		file, info, err := openRegular(path)
		if err != nil {
			return err
		}
		defer file.Close()
		body, size = file, info.Size()
	case f.out == "" || f.object == "":
		return usagef("standard input needs --output and --object")
	default:
		body = &interruptible{ctx: cmd.Context(), r: body}
	}
	if f.out == "" {
		f.out = path + ".sealed"
	}
	if f.object == "" {
		f.object = filepath.Base(path)
	}
	if f.meta == "" {
		f.meta = f.out + ".json"
	}
	if f.out == "-" || f.meta == "-" {
		return usagef("a sealed file and its metadata are two files: standard output takes neither")
	}
	if same, err := samePath(f.out, f.meta); err != nil || same {
		return usagef("--output and --meta must be two files, not both %s", f.out)
	}
	name := sse.ObjectName{Bucket: f.bucket, Object: f.object}
	switch {
	case name.Bucket == "" || strings.Contains(name.Bucket, "/"):
		return usagef("%q cannot be the name of a bucket", name.Bucket)
	case !utf8.ValidString(name.Bucket + "/" + name.Object): // JSON would not give it back, and it is bound to the key
		return usagef("%+q is not UTF-8: --object must name the object", name.Object)
	}

	var client *kms.Client
	if request.Method != sse.C {
		if client, err = a.keys.open(cmd, ringFlags{create: f.newKey, mayCreate: true}); err != nil {
			return err
		}
	}
	// Both outputs are opened first: nothing is asked of a key server for a
	// result that could not be written.
	data, err := create(f.out, 0o644, f.force, path)
	if err != nil {
		return err
	}
	defer data.discard()
	meta, err := create(f.meta, 0o644, f.force, path)
	if err != nil {
		return err
	}
	defer meta.discard()
	s, upload, err := seal(cmd.Context(), client, request, name, body, size, data, cmd.ErrOrStderr())
	if err != nil {
		return err
	}
	text, err := s.encode()
	if err == nil {
		_, err = meta.Write(text)
	}
	if err == nil {
		err = data.commit()
	}
	if err != nil {
		return err
	}
	if err := meta.commit(); err != nil { // the rename that makes the pair an object
		if !f.force {
			os.Remove(f.out)
		}
		return err
	}
	if a.json {
		return printJSON(cmd.OutOrStdout(), map[string]any{"file": f.out, "meta": f.meta, "bucket": s.Bucket, "object": s.Object, "size": s.Size,
			"stored_size": upload.StoredSize(), "sse": request.Method.String(), "kms_key_id": upload.KMSKeyID(), "etag": upload.ETag()})
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "sealed %s: %d bytes, %s%s\n  %s  %d bytes of ciphertext\n  %s  metadata\n",
		name, s.Size, request.Method, underKey(upload.KMSKeyID()), f.out, upload.StoredSize(), f.meta)
	return err
}

// interruptible is standard input whose Read ends with the context. The process
// is about to end then, so a Read that still waits may wait on.
type interruptible struct {
	ctx context.Context
	r   io.Reader
	buf []byte // the caller's own is free again when Read returns
}

func (i *interruptible) Read(p []byte) (int, error) {
	if err := i.ctx.Err(); err != nil {
		return 0, err
	}
	i.buf = slices.Grow(i.buf[:0], len(p))[:len(p)]
	var n int
	var err error
	done := make(chan struct{})
	go func() {
		n, err = i.r.Read(i.buf)
		close(done)
	}()
	select {
	case <-done:
		return copy(p, i.buf[:n]), err
	case <-i.ctx.Done():
		return 0, i.ctx.Err()
	}
}

// samePath reports whether two names are of one file, which need not exist.
func samePath(a, b string) (bool, error) {
	a, err := filepath.Abs(a)
	if err != nil {
		return false, err
	}
	b, err = filepath.Abs(b)
	return a == b, err
}

func seal(ctx context.Context, client *kms.Client, r sse.Request, n sse.ObjectName, body io.Reader, size int64, dst, stderr io.Writer) (sidecar, *sse.Upload, error) {
	upload, err := sse.Encrypt(ctx, client, r, n, body, &sse.EncryptOptions{Size: sse.KnownSize(size), Workers: workers()})
	if err != nil {
		return sidecar{}, nil, err
	}
	stored := int64(-1)
	if size >= 0 {
		if stored, err = stream.EncryptedSize(size); err != nil {
			return sidecar{}, nil, err
		}
	}
	w, done := progress(stderr, dst, "sealing", stored)
	defer done()
	if _, err := upload.WriteTo(w); err != nil {
		return sidecar{}, nil, err
	}
	metadata, err := upload.Metadata()
	return sidecar{Bucket: n.Bucket, Object: n.Object, Size: upload.Size(), Metadata: metadata}, upload, err
}

// workers is how many goroutines work on one file: one a core.
func workers() int { return runtime.GOMAXPROCS(0) }

func (f *encryptFlags) request(stdin io.Reader) (r sse.Request, err error) {
	switch f.sse {
	case "s3":
		r.Method = sse.S3
	case "kms":
		r.Method = sse.KMS
	case "c":
		r.Method = sse.C
	default:
		return r, usagef("--sse is s3, kms or c, not %q", f.sse)
	}
	switch {
	case len(f.context) > 0 && r.Method != sse.KMS:
		return r, usagef("--context goes with --sse kms")
	case f.kmsKey != "" && r.Method == sse.C:
		return r, usagef("--kms-key does not go with --sse c")
	case (f.customerKey != "") != (r.Method == sse.C):
		return r, usagef("--customer-key-file and --sse c go together")
	}
	r.KMSKeyID = f.kmsKey
	if r.Context, err = parseContext(f.context); err == nil && f.customerKey != "" {
		r.CustomerKey, err = readCustomerKey(f.customerKey, stdin)
	}
	return r, err
}

func parseContext(pairs []string) (kms.AssociatedData, error) {
	if len(pairs) == 0 {
		return nil, nil
	}
	ad := make(kms.AssociatedData, len(pairs))
	for _, pair := range pairs {
		k, v, ok := strings.Cut(pair, "=")
		if _, twice := ad[k]; !ok || twice {
			return nil, usagef("--context %q is not k=v, or its key came twice", pair)
		}
		ad[k] = v
	}
	return ad, nil
}

func underKey(id string) string {
	if id == "" {
		return ""
	}
	return ", key " + kms.QuoteKeyID(id)
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	return e.Encode(v)
}
