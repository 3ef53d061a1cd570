package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/keystore"
	"github.com/objseal/objseal/kms/kmsenv"
)

// The doctor walks from the environment to a data key, one step after the
// other, and says of each what it found and what to do. A step that needs one
// that failed is not tried.

func (a *app) kmsDoctor() *cobra.Command {
	var key string
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "find out why sealing or opening does not work",
		Long: `doctor looks at everything between the environment and a data key: variables,
files, the certificate and who it is for, the servers' names, connections and
certificates, their versions, what this identity may do, and a data key there and
back. It changes nothing, and exits with 1 if anything failed.`,
		Args: exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{app: a, cmd: cmd, key: key}
			d.examine()
			if err := a.print(cmd.OutOrStdout(), d.result(), d.text()); err != nil {
				return err
			}
			if n := d.count(failed); n > 0 {
				return fmt.Errorf("%w: %d of %d", errStepsFailed, n, len(d.steps))
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&key, "kms-key", "", "key to seal and open with (default: the default key)")
	return cmd
}

var errStepsFailed = errors.New("steps failed")

// outcome is what a step came to.
type outcome string

const (
	passed   outcome = "ok"
	warned   outcome = "warning"
	failed   outcome = "FAILED"
	notTried outcome = "not tried"
)

type step struct {
	Name    string  `json:"step"`
	Server  string  `json:"server,omitempty"`
	Outcome outcome `json:"outcome"`
	Found   string  `json:"found,omitempty"`
	Fix     string  `json:"fix,omitempty"`
}

type doctor struct {
	*app
	cmd   *cobra.Command
	key   string
	steps []step
}

func (d *doctor) note(name, server string, o outcome, found, fix string) {
	d.steps = append(d.steps, step{name, server, o, found, fix})
}

// skip notes steps that are not tried, and why.
func (d *doctor) skip(server, why string, names ...string) {
	for _, name := range names {
		d.note(name, server, notTried, why, "")
	}
}

func (d *doctor) count(o outcome) (n int) {
	for _, s := range d.steps {
		if s.Outcome == o {
			n++
		}
	}
	return n
}

func (d *doctor) result() any {
	return map[string]any{"ok": d.count(failed) == 0, "steps": d.steps}
}

func (d *doctor) text() string {
	var b strings.Builder
	server := ""
	for _, s := range d.steps {
		if s.Server != server {
			server = s.Server
			if server != "" {
				fmt.Fprintf(&b, "%s\n", server)
			}
		}
		line := fmt.Sprintf("%-9s  %-11s  %s", s.Outcome, s.Name, s.Found)
		fmt.Fprintln(&b, strings.TrimRight(line, " "))
		if s.Fix != "" {
			fmt.Fprintf(&b, "%24s%s\n", "→ ", s.Fix)
		}
	}
	return b.String()
}

// The steps behind those of variables and files.
var (
	serverSteps = []string{"name", "connection", "TLS", "answer", "key store"}
	keySteps    = []string{"sealing", "opening"}
)

func (d *doctor) examine() {
	config, ok := d.variables()
	if ok {
		ok = d.files(config)
	}
	var client *kms.Client
	if ok {
		client = d.credentials()
	}
	if client == nil {
		d.skip("", "there are no keys to try it with", keySteps...)
		return
	}
	ctx := d.cmd.Context()
	key := d.key
	if key == "" {
		key = config.DefaultKeyID
	}
	b, isKES := client.Backend().(*kes.Backend)
	if !isKES {
		d.useKeys(ctx, client, key, nil)
		return
	}
	var well []*kes.Backend
	for _, server := range b.Each() {
		if d.server(ctx, server, key) {
			well = append(well, server)
		}
	}
	switch {
	case len(well) == 0:
		d.skip("", "no server can be used", keySteps...)
	case key == "":
		d.noKey()
	default:
		d.useKeys(ctx, client, key, well)
	}
}

// variables looks at what is set.
func (d *doctor) variables() (kmsenv.Config, bool) {
	const name = "variables"
	set := "none is set"
	if names := kmsenv.Set(nil); len(names) > 0 {
		set = strings.Join(names, ", ")
	}
	if d.keys.secretKeyFile != "" {
		d.note(name, "", passed, "not looked at: --secret-key-file goes first", "")
		return kmsenv.Config{Files: []kmsenv.File{{Variable: "--secret-key-file", Path: d.keys.secretKeyFile, Secret: true}}}, true
	}
	ring, err := d.keys.ringPath()
	if err != nil && d.keys.ring != "" {
		d.note(name, "", failed, err.Error(), "name another key ring with --key-ring")
		return kmsenv.Config{}, false
	}
	config, err := kmsenv.Find(nil, &kmsenv.Options{KESCommand: true, Ring: ring, CAFile: d.keys.kesCA})
	if _, e := d.keys.open(d.cmd, ringFlags{}); e == nil && d.keys.source != config.Source {
		d.note(name, "", passed, "not looked at: keys come from "+d.keys.source, "")
		return kmsenv.Config{}, true
	}
	if err != nil {
		found := named(err).Error()
		if set != "none is set" {
			found += "; set: " + set
		}
		d.note(name, "", failed, found, hintFor(err))
		return config, false
	}
	d.note(name, "", passed, set+"; keys come from "+config.Source, "")
	if d.keys.kesCA != "" {
		config.Files = append(config.Files, kmsenv.File{Variable: "--kes-ca", Path: d.keys.kesCA})
	}
	return config, true
}

// files looks whether they are there, and who can read them.
func (d *doctor) files(config kmsenv.Config) bool {
	ok := true
	for _, f := range config.Files {
		who := f.Variable
		if who == "" {
			who = "key ring"
		}
		found := who + " " + f.Path
		info, err := os.Stat(f.Path)
		if err == nil {
			err = readable(f.Path)
		}
		switch {
		case errors.Is(err, fs.ErrNotExist) && f.Optional:
			d.note("file", "", warned, found+": there is none, and it adds nothing", "correct "+who+": only the system's CAs are trusted")
		case errors.Is(err, fs.ErrNotExist) && f.Variable == "":
			d.note("file", "", failed, "there is no variable, and no "+found, "set the variables of a key server, or start a key ring: objseal encrypt --new-key FILE")
			ok = false
		case errors.Is(err, fs.ErrNotExist):
			d.note("file", "", failed, found+": there is none", "correct "+who+"; a relative path counts from the directory this runs in")
			ok = false
		case err != nil:
			d.note("file", "", failed, found+": "+reason(err), "give who runs this the right to read it")
			ok = false
		case f.Secret && runtime.GOOS != "windows" && info.Mode().Perm()&0o077 != 0:
			d.note("file", "", warned, fmt.Sprintf("%s: others may use it, its mode is %v", found, info.Mode().Perm()), "chmod 600 "+f.Path)
		default:
			d.note("file", "", passed, found, "")
		}
	}
	return ok
}

func readable(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return f.Close()
}

// reason is an error without the path, which stands before it.
func reason(err error) string {
	if path := (*fs.PathError)(nil); errors.As(err, &path) {
		return path.Err.Error()
	}
	return err.Error()
}

// credentials opens the source of keys. Nothing is called.
func (d *doctor) credentials() *kms.Client {
	client, err := d.keys.open(d.cmd, ringFlags{})
	if err != nil {
		d.note("keys", "", failed, err.Error(), hintFor(err))
		return nil
	}
	if store, ok := client.Backend().(*keystore.Backend); ok {
		return d.keyStore(client, store)
	}
	b, ok := client.Backend().(*kes.Backend)
	if !ok {
		d.note("keys", "", passed, d.keys.source, "")
		return client
	}
	found := "identity " + b.Identity()
	if end := b.NotAfter(); !end.IsZero() {
		found += ", certificate good until " + end.UTC().Format(time.DateOnly)
	} else {
		found += ", by an API key, which does not expire"
	}
	switch err := b.Expiry(); {
	case errors.Is(err, kes.ErrCertificateExpired):
		// Most servers know a client by its key and do not look at dates.
		d.note("identity", "", warned, err.Error(), "renew the certificate for the same private key, which keeps the identity; servers that verify certificates refuse this one")
	case err != nil:
		d.note("identity", "", warned, err.Error(), "renew the certificate for the same private key, which keeps the identity")
	default:
		d.note("identity", "", passed, found, "")
	}
	return client
}

// keyStore reads the keys of a key store, so that another directory is not
// taken for one: every file of a suitable name counts as a key until it is used.
func (d *doctor) keyStore(client *kms.Client, store *keystore.Backend) *kms.Client {
	const where = "name the directory that the server's configuration has below keystore.fs.path, or that objseal kes serve has as keys"
	ctx := d.cmd.Context()
	names, err := store.ListKeys(ctx, "")
	if err != nil {
		d.note("keys", "", failed, err.Error(), hintFor(err))
		return nil
	}
	var bad []string
	for _, name := range names {
		if _, err = store.DescribeKey(ctx, name); err != nil {
			bad = append(bad, fmt.Sprintf("%s: %v", name, err))
		}
	}
	switch n := len(bad); {
	case len(names) == 0:
		d.note("keys", "", failed, d.keys.source+" holds no key", where)
		return nil
	case n == len(names):
		d.note("keys", "", failed, fmt.Sprintf("%s: of %d files none can be read as a key: %s", d.keys.source, n, bad[0]), where)
		return nil
	case n > 0:
		d.note("keys", "", warned, fmt.Sprintf("%s: of %d keys %d cannot be read: %s", d.keys.source, len(names), n, bad[0]), "restore those files from a backup of the key store, or take away what is no key")
	default:
		d.note("keys", "", passed, fmt.Sprintf("%s: %d can be read", d.keys.source, len(names)), "")
	}
	return client
}

// server looks at one KES server, and reports whether calls can be made there.
func (d *doctor) server(ctx context.Context, b *kes.Backend, key string) bool {
	c := b.Diagnose(ctx)[0]
	server := c.Endpoint
	after := func(name string) []string {
		for i, s := range serverSteps {
			if s == name {
				return serverSteps[i+1:]
			}
		}
		return nil
	}
	fail := func(name, found, fix string) bool {
		d.note(name, server, failed, found, fix)
		d.skip(server, "", after(name)...)
		return false
	}
	if c.Proxy != "" {
		d.skip(server, "a proxy is between, "+c.Proxy, "name", "connection", "TLS")
	} else {
		if c.ResolveErr != nil {
			return fail("name", c.ResolveErr.Error(), "correct the address, or make its name known to this machine")
		}
		d.note("name", server, passed, "stands for "+strings.Join(c.Addresses, ", "), "")
		if c.ConnectErr != nil {
			return fail("connection", c.ConnectErr.Error(), "start the server, correct address and port, or open the firewall between")
		}
		d.note("connection", server, passed, "to "+c.Address, "")
		if c.TLSErr != nil {
			return fail("TLS", c.TLSErr.Error(), tlsFix(c))
		}
		found := c.TLSVersion + ", the server's certificate is good until " + c.Certificate.NotAfter.UTC().Format(time.DateOnly)
		if left := time.Until(c.Certificate.NotAfter); left < 30*24*time.Hour {
			d.note("TLS", server, warned, found, "renew the certificate of the server; clients refuse it after that day")
		} else {
			d.note("TLS", server, passed, found, "")
		}
	}
	status, err := b.Status(ctx)
	if err != nil {
		return fail("answer", err.Error(), d.fixFor(err))
	}
	found := fmt.Sprintf("in %s, version %s", status.Endpoints[0].Latency.Round(time.Microsecond), status.Version)
	if generation := generationOf(ctx, b, key); generation != "" {
		found += ", " + generation
	}
	d.note("answer", server, passed, found, "")
	switch {
	case status.KeyStoreUnreachable:
		d.note("key store", server, failed, "the server says that it cannot reach its key store", "look at the key store that the server's configuration names, and at the server's log")
	case status.KeyStoreLatency > 0:
		d.note("key store", server, passed, fmt.Sprintf("answers in %s", status.KeyStoreLatency), "")
	default:
		d.note("key store", server, notTried, "the policy of this identity does not allow /v1/status, and need not", "")
	}
	return true
}

// generationOf tells servers by the one call that the older ones do not know;
// who may not make it is told so by the newer ones.
func generationOf(ctx context.Context, b *kes.Backend, key string) string {
	if !kms.ValidName(key) {
		key = "objseal"
	}
	_, err := b.HMAC(ctx, key, nil)
	var answered *kes.ResponseError
	switch isAnswer := errors.As(err, &answered); {
	case err == nil, isAnswer && (answered.Status == 403 || answered.Status == 409 || errors.Is(err, kms.ErrKeyNotFound)):
		return "of the generation since v0.24"
	case isAnswer && answered.Status == 404:
		return "of a generation before v0.24"
	}
	return ""
}

func tlsFix(c kes.Diagnosis) string {
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(c.TLSErr, new(x509.UnknownAuthorityError)):
		return "give the certificate of the CA that issued the server's with --kes-ca or MINIO_KMS_KES_CAPATH"
	case errors.As(c.TLSErr, new(x509.HostnameError)):
		names := make([]string, 0, len(c.Certificate.DNSNames)+len(c.Certificate.IPAddresses))
		names = append(names, c.Certificate.DNSNames...)
		for _, ip := range c.Certificate.IPAddresses {
			names = append(names, ip.String())
		}
		const most = 5
		if len(names) > most {
			names = append(names[:most], "…")
		}
		return fmt.Sprintf("use a name that the certificate is for: %q", names)
	case errors.As(c.TLSErr, &invalid) && invalid.Reason == x509.Expired:
		return "renew the certificate of the server, and look at the clock of this machine"
	}
	return "check that a KES server listens there, and is not hung"
}

// useKeys makes a data key and opens it again: at every server, for if they did
// not share their keys they could not stand in for each other.
func (d *doctor) useKeys(ctx context.Context, client *kms.Client, key string, servers []*kes.Backend) {
	ad := kms.AssociatedData{"objseal": "doctor"}
	made, err := client.GenerateKey(ctx, key, ad)
	if errors.Is(err, kms.ErrInvalidKeyID) && key == "" {
		d.noKey()
		return
	}
	if err != nil {
		d.note("sealing", "", failed, err.Error(), d.fixFor(err))
		if servers == nil {
			d.skip("", "there is nothing to open", "opening")
			return
		}
		d.mayOpen(ctx, client, key, ad)
		return
	}
	defer made.Key.Wipe()
	d.note("sealing", "", passed, fmt.Sprintf("made a data key under the key %q", made.KeyID), "")
	if servers == nil {
		d.opens(ctx, client, "", made, ad)
	}
	for _, s := range servers {
		d.opens(ctx, kms.NewClient(s, nil), s.Endpoints()[0], made, ad)
	}
}

// noKey is for where nobody says which key to use.
func (d *doctor) noKey() {
	d.note("sealing", "", notTried, "no key is named, and there is no default", "name one with --kms-key; objseal kms keys lists those there are")
	d.skip("", "no key is named", "opening")
}

func (d *doctor) opens(ctx context.Context, client *kms.Client, server string, made kms.GeneratedKey, ad kms.AssociatedData) {
	opened, err := client.Decrypt(ctx, made.KeyID, made.Ciphertext, ad)
	defer opened.Wipe()
	switch {
	case errors.Is(err, kms.ErrKeyNotFound), errors.Is(err, kms.ErrNotAuthentic):
		d.note("opening", server, failed, err.Error(), "the servers do not share their keys: give all the same key store, or name only those that do")
	case err != nil:
		d.note("opening", server, failed, err.Error(), d.fixFor(err))
	case !opened.Equal(made.Key):
		d.note("opening", server, failed, "another data key came back than was made", "do not use this server")
	default:
		d.note("opening", server, passed, "the same data key came back", "")
	}
}

// mayOpen finds out whether opening would be allowed, where nothing can be
// sealed: with a ciphertext that is none.
func (d *doctor) mayOpen(ctx context.Context, client *kms.Client, key string, ad kms.AssociatedData) {
	_, err := client.Decrypt(ctx, key, make([]byte, 76), ad)
	switch {
	case errors.Is(err, kms.ErrNotAuthentic):
		d.note("opening", "", passed, "is allowed; there is nothing to open", "")
	case err == nil:
		d.note("opening", "", failed, "a ciphertext that is none was opened", "do not use this server")
	default:
		d.note("opening", "", failed, err.Error(), d.fixFor(err))
	}
}

// fixFor is hintFor, for who has just seen everything before work.
func (d *doctor) fixFor(err error) string {
	var e *kms.Error
	switch {
	case errors.Is(err, kes.ErrCertificateExpired):
		return "renew the certificate for the same private key, which keeps the identity"
	case errors.Is(err, kms.ErrNotPermitted) && errors.As(err, new(*kes.ResponseError)):
		return "let the server's policy allow it: objseal kms policy prints the least one"
	case errors.Is(err, kms.ErrNotPermitted):
		return "the server verifies certificates (tls.auth on): its tls.ca must have issued this one"
	case errors.Is(err, kms.ErrKeyNotFound) && errors.As(err, &e):
		return fmt.Sprintf("if it never existed: objseal kms create %s; if it did, restore it, as one made anew opens nothing of old", e.KeyID)
	}
	return hintFor(err)
}
