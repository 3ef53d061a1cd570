package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/drive"
	"github.com/objseal/objseal/drive/config"
	"github.com/objseal/objseal/drive/recovery"
	"github.com/objseal/objseal/kms/blob"
)

func (a *app) driveConfig() *cobra.Command {
	var credentialsFile, out string
	var reveal bool
	cmd := &cobra.Command{
		Use:   "config DRIVE...",
		Short: "open the server's own data: settings, users, policies, buckets",
		Long: `config opens what the server kept for itself: its settings, users, groups,
policies, service accounts, and the metadata of its buckets with their remote
targets. It prints one line for each, and what could not be opened with its kind.

Secrets are not printed unless --reveal. With --out everything is written in
full, secrets too, into files that only their owner may read.`,
		Args: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return usagef("%s needs at least one drive", cmd.CommandPath())
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			credentials, err := readRootCredentials(credentialsFile)
			if err != nil {
				return err
			}
			client, err := a.clientIfAny(cmd)
			if err != nil {
				return err
			}
			p := configPrinter{app: a, w: cmd.OutOrStdout(), stderr: cmd.ErrOrStderr(), reveal: reveal}
			d, err := drive.Open(cmd.Context(), args, &drive.Options{Report: p.finding})
			if err != nil {
				return err
			}
			defer d.Close()
			p.single = singles(d)
			if out != "" {
				if err := offDrives(out, args); err != nil {
					return err
				}
				if p.out, err = openSecretDir(out); err != nil {
					return err
				}
				defer p.out.Close()
			}
			for _, f := range d.Findings() {
				fmt.Fprintf(cmd.ErrOrStderr(), "objseal: note: %s\n", f)
			}
			err = config.Walk(cmd.Context(), d, client, &config.Options{RootCredentials: credentials}, p.item)
			return errors.Join(err, p.failure())
		},
	}
	cmd.Flags().StringVar(&credentialsFile, "root-credentials-file", "", "file with ACCESS-KEY:SECRET-KEY of the root user, one pair a line, former ones too: what servers sealed before they had keys")
	cmd.Flags().StringVar(&out, "out", "", "write everything below this directory, readable by its owner alone")
	cmd.Flags().BoolVar(&reveal, "reveal", false, "print secrets too")
	return cmd
}

var errBadRootCredentials = errors.New("it does not hold ACCESS-KEY:SECRET-KEY, one pair a line")

func readRootCredentials(file string) ([]string, error) {
	if file == "" {
		return nil, nil
	}
	const most = 64 << 10
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("failed to read the root credentials: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("failed to read the root credentials: %w", err)
	}
	defer clear(text)
	var pairs []string
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if access, secret, ok := strings.Cut(line, ":"); !ok || access == "" || secret == "" || len(text) > most {
			return nil, fmt.Errorf("failed to read the root credentials in %s: %w", file, errBadRootCredentials)
		}
		pairs = append(pairs, line)
	}
	if len(pairs) == 0 {
		return nil, fmt.Errorf("failed to read the root credentials in %s: %w", file, errBadRootCredentials)
	}
	return pairs, nil
}

// openSecretDir makes a directory for the eyes of its owner, if it is not there yet.
func openSecretDir(dir string) (*os.Root, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	return os.OpenRoot(dir)
}

// A configPrinter prints what config.Walk finds, and writes it below out.
type configPrinter struct {
	*app
	w      io.Writer
	out    *os.Root // nil: nothing is written
	stderr io.Writer
	single map[string]bool // see singles
	reveal bool

	total, failed int
	unread        int64 // what may hold items that nobody knows of
	first         error
}

// configLine is one line of --json.
type configLine struct {
	Type     config.Type `json:"type"`
	Name     string      `json:"name,omitempty"`
	Path     string      `json:"path"` // below .minio.sys
	Stored   string      `json:"stored"`
	KMSKeyID string      `json:"kms_key_id,omitempty"`
	Modified *time.Time  `json:"modified,omitempty"`
	Size     int         `json:"size"`
	Value    any         `json:"value,omitempty"`
	Hidden   bool        `json:"hidden,omitempty"` // secrets were left out of value
	Files    []string    `json:"files,omitempty"`
	Status   string      `json:"status"`
	Kind     string      `json:"kind,omitempty"`
	Error    string      `json:"error,omitempty"`
	Findings []string    `json:"findings,omitempty"`
}

func (p *configPrinter) item(i *config.Item) error {
	line := configLine{Type: i.Type, Name: i.Name, Path: i.Path, Stored: i.Form.String(), KMSKeyID: i.KeyID, Size: len(i.Data), Status: "ok"}
	if !i.ModTime.IsZero() {
		line.Modified = &i.ModTime
	}
	for _, f := range i.Findings {
		line.Findings = append(line.Findings, f.String())
	}
	err := i.Err
	if err == nil {
		line.Value, line.Hidden = p.value(i)
		if p.out != nil {
			line.Files, err = p.write(i)
		}
	}
	p.total++
	if err != nil {
		p.failed++
		if p.first == nil {
			p.first = err
		}
		line.Status, line.Kind, line.Error = "error", string(cmp.Or(drive.KindOf(err), recovery.KindOther)), err.Error()
	}
	return p.print(p.w, line, p.text(i, &line))
}

// finding tells of what is no item's, such as a directory that cannot be listed. Nobody knows
// what is in there, unless another drive has the same.
func (p *configPrinter) finding(f drive.Finding) {
	if f.Object != "" {
		return // among those of its item
	}
	fmt.Fprintf(p.stderr, "objseal: note: %s\n", f)
	if p.single[f.Drive] {
		p.unread++
	}
}

// singles are the drives that are the only one given of their set.
func singles(d *drive.Deployment) map[string]bool {
	single := make(map[string]bool)
	for _, pool := range d.Pools {
		for _, set := range pool.Sets {
			var roots []string
			for _, drive := range set.Drives {
				if drive.Root != "" {
					roots = append(roots, drive.Root)
				}
			}
			if len(roots) == 1 {
				single[roots[0]] = true
			}
		}
	}
	return single
}

// failure is what the command fails with: the lines have told of each.
func (p *configPrinter) failure() error {
	switch {
	case p.failed == 0 && p.unread == 0:
		return nil
	case p.failed == 0:
		return fmt.Errorf("%w: %s on a drive could not be read, and no other drive has it", drive.ErrDamaged, count(p.unread, "place", "places"))
	}
	return fmt.Errorf("%d of %d could not be opened or written, the first one: %w", p.failed, p.total, p.first)
}

func (p *configPrinter) text(i *config.Item, line *configLine) string {
	var b strings.Builder
	name := ""
	switch {
	case i.Name != "":
		name = fmt.Sprintf(" %q", i.Name)
	case i.Type == config.Other:
		name = fmt.Sprintf(" %q", i.Path)
	}
	fmt.Fprintf(&b, "%s%s: ", i.Type, name)
	if line.Error != "" {
		fmt.Fprintf(&b, "error: %s: %s\n", line.Kind, line.Error)
		return b.String()
	}
	switch i.Form {
	case blob.Sealed:
		fmt.Fprintf(&b, "sealed under key %q", i.KeyID)
	case blob.Password:
		b.WriteString("sealed under root credentials")
	case blob.Plain:
		b.WriteString("plain")
	default:
		b.WriteString("binary")
	}
	if s := summary(i); s != "" {
		b.WriteString(", " + s)
	} else {
		fmt.Fprintf(&b, ", %d bytes", len(i.Data))
	}
	b.WriteByte('\n')
	for _, f := range line.Findings {
		fmt.Fprintf(&b, "    %s\n", f)
	}
	if p.reveal && line.Value != nil {
		text, err := json.MarshalIndent(line.Value, "    ", "  ")
		if err == nil {
			fmt.Fprintf(&b, "    %s\n", text)
		}
	}
	return b.String()
}

// summary is what people want to know of an item first, nothing of it secret.
func summary(i *config.Item) string {
	var words []string
	switch i.Type {
	case config.User, config.ServiceAccount, config.STSAccount:
		var v struct {
			Credentials struct{ Status, ParentUser string }
		}
		if json.Unmarshal(i.Data, &v) != nil {
			return ""
		}
		words = append(words, v.Credentials.Status)
		if v.Credentials.ParentUser != "" {
			words = append(words, fmt.Sprintf("of user %q", v.Credentials.ParentUser))
		}
	case config.Group:
		var v struct {
			Status  string
			Members []string
		}
		if json.Unmarshal(i.Data, &v) != nil {
			return ""
		}
		words = append(words, v.Status, fmt.Sprintf("members %q", v.Members))
	case config.PolicyMapping:
		var v struct{ Policy string }
		if json.Unmarshal(i.Data, &v) != nil {
			return ""
		}
		words = append(words, fmt.Sprintf("%q", v.Policy))
	case config.BucketTargets:
		var v struct {
			Targets []struct{ Endpoint, TargetBucket string }
		}
		if json.Unmarshal(i.Data, &v) != nil {
			return ""
		}
		for _, t := range v.Targets {
			words = append(words, fmt.Sprintf("to %q at %q", t.TargetBucket, t.Endpoint))
		}
	case config.BucketMetadata:
		words = append(words, "created "+i.Bucket.Created.Format(time.DateOnly))
		if i.Bucket.LockEnabled {
			words = append(words, "locked")
		}
		for _, s := range i.Bucket.Settings {
			words = append(words, s.Name)
		}
	}
	return strings.Join(words, ", ")
}

// value is what an item says, without secrets unless they are to be revealed.
func (p *configPrinter) value(i *config.Item) (value any, hidden bool) {
	if i.Bucket != nil {
		settings := make(map[string]string)
		for _, s := range i.Bucket.Settings {
			settings[s.Name] = string(s.Data)
		}
		return map[string]any{"created": i.Bucket.Created, "lock_enabled": i.Bucket.LockEnabled, "settings": settings}, false
	}
	switch i.Type {
	case config.Group, config.Policy, config.PolicyMapping, config.IAMFormat: // no secrets there
		if json.Valid(i.Data) {
			return json.RawMessage(i.Data), false
		}
	}
	if p.reveal {
		switch {
		case json.Valid(i.Data):
			return json.RawMessage(i.Data), false
		case i.Form != blob.Unknown:
			return string(i.Data), false
		}
		return i.Data, false // base64
	}
	// Numbers must not lose digits on the way.
	decoder := json.NewDecoder(bytes.NewReader(i.Data))
	decoder.UseNumber()
	if decoder.Decode(&value) != nil {
		return nil, len(i.Data) > 0
	}
	hide(value, &hidden)
	return value, hidden
}

// shown are the fields with text that is no secret. What is not listed here is
// not printed: servers have more fields than anybody knows.
var shown = map[string]bool{
	// identities
	"accessKey": true, "status": true, "parentUser": true, "groups": true, "name": true, "description": true, "expiration": true, "updatedAt": true,
	// settings: which are there, not what they say
	"key": true,
	// remote targets
	"sourcebucket": true, "targetbucket": true, "endpoint": true, "arn": true, "type": true, "region": true, "path": true, "api": true, "storageclass": true, "lastOnline": true, "resetBeforeDate": true,
}

const hiddenText = "(hidden)"

// hide replaces text in decoded JSON unless the field it is in is shown.
func hide(value any, hidden *bool) {
	switch v := value.(type) {
	case map[string]any:
		for name, field := range v {
			switch text := field.(type) {
			case string:
				if !shown[name] && text != "" {
					v[name], *hidden = hiddenText, true
				}
			case []any:
				for n, element := range text {
					if s, ok := element.(string); ok && !shown[name] && s != "" {
						text[n], *hidden = hiddenText, true
					}
				}
				hide(text, hidden)
			default:
				hide(field, hidden)
			}
		}
	case []any:
		for _, element := range v {
			hide(element, hidden)
		}
	}
}

// write writes an item in full and returns the names of its files below out.
func (p *configPrinter) write(i *config.Item) (files []string, err error) {
	put := func(name string, data []byte) error {
		if err := writeSecret(p.out, name, data); err != nil {
			return err
		}
		files = append(files, name)
		return nil
	}
	dir := path.Dir(i.Path)
	switch i.Type {
	case config.BucketMetadata:
		updated := make(map[string]time.Time)
		for _, s := range i.Bucket.Settings {
			updated[s.Name] = s.UpdatedAt
		}
		text, err := json.MarshalIndent(map[string]any{"name": i.Name, "created": i.Bucket.Created, "lock_enabled": i.Bucket.LockEnabled, "updated": updated}, "", "  ")
		if err != nil {
			return nil, err
		}
		if err := put(path.Join(dir, "metadata.json"), append(text, '\n')); err != nil {
			return files, err
		}
		for _, s := range i.Bucket.Settings {
			if err := put(path.Join(dir, s.File), s.Data); err != nil {
				return files, err
			}
		}
		return files, nil
	case config.BucketTargets:
		err = put(path.Join(dir, "bucket-targets.json"), i.Data)
	default:
		err = put(i.Path, i.Data)
	}
	return files, err
}

// writeSecret writes a new file that only its owner may read. Names never lead
// out of root.
func writeSecret(root *os.Root, name string, data []byte) error {
	if err := root.MkdirAll(path.Dir(name), 0o700); err != nil {
		return fmt.Errorf("failed to write %q: %w", name, err)
	}
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("failed to write %q: %w", name, err)
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Close()); err != nil {
		root.Remove(name)
		return fmt.Errorf("failed to write %q: %w", name, err)
	}
	return nil
}
