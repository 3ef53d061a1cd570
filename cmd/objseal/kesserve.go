package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/objseal/objseal/kms/kes/keserver"
)

const kesUsage = `serve is a KES server for development and tests: what runs against it, MinIO
included, runs against a KES server. Its keys are not encrypted on disk.

  $ objseal kes serve --dir kes
  $ export MINIO_KES_SERVER=127.0.0.1:7373 MINIO_KES_API_KEY=$(cat kes/api-key)
  $ objseal kms status --kes-ca kes/server.crt

The directory is made on the first start, with all that is missing in it:

  keys/        the key store, in the format of KES's own fs key store
  policy.yml   who may do what; policy.yaml or policy.json will do as well
  api-key      the API key of a first client, which may use and make keys
  server.crt   the certificate that clients trust the server by; server.key
  endpoint     where the server is, as long as it runs

The policy file and the certificate are read again when they change, and at
SIGHUP. A client is an identity, whether it has an API key or a certificate:
objseal key api makes the former. There is no administrator unless the policy
file names one:

  admin:
    identity: 4d0b...
  policy:
    app:
      allow: ["/v1/key/generate/app-*", "/v1/key/decrypt/app-*"]
      deny:  ["/v1/key/decrypt/app-old"]
      identities: [a050...]`

const (
	kesShutdown = 10 * time.Second // for requests to end
	kesWatch    = time.Second      // between two looks at files
)

// kesServer are the flags of one.
type kesServer struct {
	dir, address, allowRemote string
	certFile, keyFile         string
	show                      bool
}

func (a *app) kesServe() *cobra.Command {
	s := new(kesServer)
	cmd := &cobra.Command{
		Use:   "serve --dir D",
		Short: "be a KES server, for development and tests",
		Long:  kesUsage,
		Args:  exactArgs(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return s.run(cmd, a)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&s.dir, "dir", "", "directory of the server (required)")
	flags.StringVar(&s.address, "address", "127.0.0.1:7373", "`host:port` to listen at; port 0 is any free one")
	flags.StringVar(&s.allowRemote, "allow-remote", "", "`host` of --address once more, if it is not loopback")
	flags.StringVar(&s.certFile, "cert", "", "PEM certificate of the server (default: server.crt in the directory, made if missing)")
	flags.StringVar(&s.keyFile, "key", "", "PEM private key of the certificate")
	flags.BoolVar(&s.show, "show", false, "print the API key too")
	return cmd
}

// A serveError is why a server does not start, and what to do.
type serveError struct {
	err  error
	hint string
}

func (e *serveError) Error() string { return e.err.Error() }
func (e *serveError) Unwrap() error { return e.err }

// run serves until a signal.
func (s *kesServer) run(cmd *cobra.Command, a *app) error {
	hosts, err := s.check()
	if err != nil {
		return err
	}
	// main ends every command at SIGHUP; this one reads its files then.
	ctx, stop := signal.NotifyContext(context.WithoutCancel(cmd.Context()), os.Interrupt, syscall.SIGTERM)
	defer stop()
	reload := make(chan os.Signal, 1)
	if !signal.Ignored(syscall.SIGHUP) {
		signal.Notify(reload, syscall.SIGHUP)
		defer signal.Stop(reload)
	}
	if err := cmd.Context().Err(); err != nil {
		return err
	}

	dir, err := openKESDir(s.dir, s.certFile, s.keyFile, hosts)
	if err != nil {
		return err
	}
	stderr := cmd.ErrOrStderr()
	server, err := dir.newServer(stderr)
	if err != nil {
		return err
	}
	listener, err := s.listen()
	if err != nil {
		return err
	}
	defer listener.Close()
	for _, warning := range dir.warnings(hosts[len(hosts)-1]) {
		fmt.Fprintln(stderr, "objseal: "+warning)
	}
	endpoint := "https://" + listener.Addr().String()
	forget, err := dir.announce(endpoint)
	if err != nil {
		return err
	}
	defer forget()

	config := keserver.TLSConfig(tls.Certificate{}, tls.RequireAnyClientCert)
	config.Certificates = nil
	config.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return dir.certificate.Load(), nil }
	web := &http.Server{
		Handler:           server,
		TLSConfig:         config,
		ReadHeaderTimeout: 5 * time.Second, // as KES has it (KES spec section 2.1)
		IdleTimeout:       90 * time.Second,
		ErrorLog:          server.ErrorLog(),
	}
	web.RegisterOnShutdown(server.Close)
	served := make(chan error, 1)
	go func() { served <- web.ServeTLS(listener, "", "") }()
	defer web.Close()
	if err := a.print(cmd.OutOrStdout(), dir.result(endpoint, s.show), dir.text(endpoint, s.show)); err != nil {
		return err
	}

	look := time.NewTicker(kesWatch)
	defer look.Stop()
	for {
		select {
		case err := <-served:
			return err
		case <-reload:
			dir.reload(server, stderr, true)
		case <-look.C:
			dir.reload(server, stderr, false)
		case <-ctx.Done():
			stop() // a second signal ends the process
			fmt.Fprintln(stderr, "objseal: stopping")
			ctx, cancel := context.WithTimeout(context.Background(), kesShutdown)
			defer cancel()
			if err := web.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
				return err
			}
			return nil // who still waits has had their time
		}
	}
}

// check returns the hosts that a certificate is made for, the one to listen at
// last.
func (s *kesServer) check() (hosts []string, err error) {
	if s.dir == "" {
		return nil, usagef("name the server's directory with --dir")
	}
	if (s.certFile == "") != (s.keyFile == "") {
		return nil, usagef("--cert and --key go together")
	}
	host, _, err := net.SplitHostPort(s.address)
	if err != nil {
		return nil, usagef("--address is host:port: %v", err)
	}
	hosts = loopbackHosts()
	ip := net.ParseIP(host)
	switch {
	case host == "":
		return nil, usagef("--address %s names no host: for all addresses of this machine write 0.0.0.0", s.address)
	case host == "localhost" || ip != nil && ip.IsLoopback():
		if s.allowRemote != "" {
			return nil, usagef("--allow-remote goes with an --address that is not loopback, %s is", host)
		}
	case s.allowRemote != host:
		return nil, usagef("others can reach %s: if they shall, say --allow-remote %s", s.address, host)
	}
	return append(hosts, host), nil
}

func (s *kesServer) listen() (net.Listener, error) {
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		return nil, &serveError{fmt.Errorf("failed to listen: %w", err), "choose another --address; port 0 is any free one"}
	}
	// What a name stands for is known only now.
	if address, ok := listener.Addr().(*net.TCPAddr); s.allowRemote == "" && !(ok && address.IP.IsLoopback()) {
		listener.Close()
		return nil, &serveError{fmt.Errorf("failed to listen: %s is %s, which is not loopback", s.address, listener.Addr()), "name 127.0.0.1 itself"}
	}
	return listener, nil
}

func (d *kesDir) result(endpoint string, show bool) any {
	r := map[string]any{
		"endpoint": endpoint, "address": strings.TrimPrefix(endpoint, "https://"), "key_store": d.path("keys"),
		"policy_file": d.policyFile, "ca_file": d.certFile,
	}
	if !d.client.IsZero() {
		r["api_key_file"], r["identity"] = d.path(apiKeyFile), d.client.Identity()
		if show {
			r["api_key"] = d.client.Text()
		}
	}
	return r
}

func (d *kesDir) text(endpoint string, show bool) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "a key server for development and tests: its keys are not encrypted on disk")
	fmt.Fprintf(w, "endpoint\t%s\n", endpoint)
	fmt.Fprintf(w, "key store\t%s\n", d.path("keys"))
	fmt.Fprintf(w, "policies\t%s\n", d.policyFile)
	fmt.Fprintf(w, "certificate\t%s (for --kes-ca and MINIO_KMS_KES_CAPATH)\n", d.certFile)
	if !d.client.IsZero() {
		fmt.Fprintf(w, "API key\t%s\n", d.path(apiKeyFile))
		fmt.Fprintf(w, "identity\t%s\n", d.client.Identity())
		if show {
			fmt.Fprintf(w, "the key itself\t%s\n", d.client.Text())
		}
	}
	w.Flush()
	return b.String()
}
