package main

import (
	"bufio"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/recovery"
)

func (a *app) driveLs() *cobra.Command {
	var all, system, uploads bool
	cmd := &cobra.Command{
		Use:   "ls DRIVE... [BUCKET[/PREFIX]]",
		Short: "list the objects on drives",
		Long: `ls lists the objects that the drives hold, or those of one bucket whose names
begin with PREFIX: time, size of the plaintext, encryption, name. It needs no
key. Deleted objects are listed with --all-versions only.`,
		Args: someDrives,
		RunE: func(cmd *cobra.Command, args []string) error {
			roots, rest := splitDrives(args)
			bucket, prefix, _ := strings.Cut(rest, "/")
			var failed failures
			d, err := drive.Open(cmd.Context(), roots, &drive.Options{Report: func(f drive.Finding) {
				if f.Object == "" {
					failed = append(failed, fmt.Errorf("%s", f))
				}
			}})
			if err != nil {
				return err
			}
			defer d.Close()
			if err := hasBucket(cmd.Context(), d, bucket); err != nil {
				return err
			}
			w := bufio.NewWriterSize(cmd.OutOrStdout(), 64<<10)
			defer w.Flush()
			list := func(v *drive.Version, id string) error {
				l := recovery.Describe(v)
				if id != "" {
					l.VersionID = id
				}
				if a.json {
					return printJSON(w, l)
				}
				_, err := fmt.Fprintln(w, listed(l, all || uploads))
				return err
			}
			if uploads {
				err = d.Uploads(cmd.Context(), func(u *drive.Upload) error {
					if bucket != "" {
						return usagef("the drives have no names of uploads: they are listed all or none")
					}
					return list(u.Version, u.ID)
				})
			} else {
				err = d.Walk(cmd.Context(), &drive.WalkOptions{Bucket: bucket, Prefix: prefix, System: system}, func(o *drive.Object) error {
					latest := o.Latest()
					for _, v := range o.Versions {
						if v.Type == drive.FreeVersion || !all && (v != latest || v.Type == drive.DeleteMarker) {
							continue
						}
						if err := list(v, ""); err != nil {
							return err
						}
					}
					if len(o.Versions)+len(o.Unsettled) == 0 && len(o.Findings) > 0 {
						failed = append(failed, fmt.Errorf("%q: %w: %s", o.Bucket+"/"+o.Name, drive.ErrDamaged, o.Findings[0]))
					}
					return nil
				})
			}
			if err == nil {
				err = w.Flush()
			}
			if err == nil && len(failed) > 0 {
				err = failed
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&all, "all-versions", false, "list every version, with its id, and delete markers")
	cmd.Flags().BoolVar(&system, "include-system", false, "list the server's own objects too, in .minio.sys")
	cmd.Flags().BoolVar(&uploads, "uploads", false, "list unfinished uploads instead; drives know no names of them")
	return cmd
}

func someDrives(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return usagef("%s needs at least one drive", cmd.CommandPath())
	}
	return nil
}

// listed is a line of a listing.
func listed(l *recovery.Line, ids bool) string {
	var b strings.Builder
	when := strings.Repeat(" ", 19)
	if l.ModTime != nil {
		when = l.ModTime.Format("2006-01-02 15:04:05")
	}
	size := fmt.Sprint(l.Size)
	if l.DeleteMarker {
		size = "deleted"
	} else if l.Error != "" {
		size = "?"
	}
	fmt.Fprintf(&b, "%s %12s  %-7s  ", when, size, l.SSE)
	if ids {
		fmt.Fprintf(&b, "%-36s  ", l.VersionID)
	}
	b.WriteString(quoteName(l.Bucket + "/" + l.Object))
	if l.Error != "" {
		fmt.Fprintf(&b, "  (%s)", l.Error)
	}
	return b.String()
}

// quoteName is a name for a terminal: as it is, unless it could be taken for something
// else.
func quoteName(name string) string {
	if q := fmt.Sprintf("%q", name); q != `"`+name+`"` || strings.HasPrefix(name, " ") || strings.HasSuffix(name, " ") {
		return q
	}
	return name
}
