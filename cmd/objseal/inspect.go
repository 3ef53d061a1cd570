package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/sse"
)

func (a *app) inspectCommand() *cobra.Command {
	var f openFlags
	cmd := &cobra.Command{
		Use:   "inspect FILE.sealed | DRIVE-PATH",
		Short: "tell what a sealed file, or an object on a drive, is and which keys it needs",
		Long: `inspect needs no key and shows no secret. Nothing it prints is authenticated.
DRIVE-PATH is the directory of an object on a MinIO drive, or its xl.meta.`,
		Args: exactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if isDrivePath(args[0]) {
				return a.inspectDrive(cmd, args[0])
			}
			sealed, err := openSealed(args[0], f.meta)
			if err != nil {
				return err
			}
			defer sealed.Close()
			d, err := sealed.describe()
			if err != nil {
				return fmt.Errorf("failed to inspect %s: %w", args[0], err)
			}
			r := describeFile(sealed, d)
			return a.print(cmd.OutOrStdout(), r, r.table())
		},
	}
	f.registerMeta(cmd)
	return cmd
}

func (r result) table() string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, value string) {
		if value != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, value)
		}
	}
	row("object", fmt.Sprintf("%q", r.Bucket+"/"+r.Object))
	row("encryption", r.SSE)
	switch {
	case r.SSE == sse.C.String():
		row("needs", "the customer key it was sealed with")
	default:
		row("needs", "KMS key "+kms.QuoteKeyID(r.KMSKeyID))
	}
	if ad, ok := r.Context.(kms.AssociatedData); ok {
		row("context", string(ad.Canonical()))
	}
	row("plaintext", fmt.Sprintf("%d bytes", r.Size))
	row("stored", fmt.Sprintf("%d bytes", r.StoredSize))
	if r.Parts > 0 {
		row("parts", fmt.Sprint(r.Parts))
	}
	if r.Compressed {
		row("compressed", "S2")
	}
	if r.LegacySeal {
		row("seal", "legacy DARE-SHA256: open it with --allow-legacy-seal")
	}
	w.Flush()
	return b.String()
}

func (a *app) verifyCommand() *cobra.Command {
	var f openFlags
	cmd := &cobra.Command{
		Use:   "verify FILE.sealed...",
		Short: "authenticate sealed files without writing anything",
		Long: `verify opens every file to its end. "content": all of the plaintext fits the
digest its writer sealed. "packages": every byte is authentic in its place, and
there was no such digest.`,
		Args: someArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := f.options(cmd.InOrStdin())
			if err != nil {
				return err
			}
			var failed failures
			for _, path := range args {
				r, err := a.verify(cmd, path, o)
				if err != nil {
					failed = append(failed, err)
					r = result{File: path, Kind: string(sse.KindOf(err)), Error: err.Error()}
					if !a.json {
						continue
					}
				}
				if err := a.print(cmd.OutOrStdout(), r, fmt.Sprintf("%s: %s\n", path, r.verified())); err != nil {
					return err
				}
			}
			if len(failed) > 0 {
				return failed
			}
			return nil
		},
	}
	f.register(cmd)
	return cmd
}

func (a *app) verify(cmd *cobra.Command, path string, o *sse.OpenOptions) (result, error) {
	sealed, err := openSealed(path, "")
	if err != nil {
		return result{}, err
	}
	defer sealed.Close()
	obj, err := a.openObject(cmd, sealed, o)
	if err != nil {
		return result{}, err
	}
	defer obj.Wipe()
	i, err := read(cmd.Context(), obj, sealed, sse.Whole, io.Discard, cmd.ErrOrStderr())
	return newResult(sealed, obj, i), err
}
