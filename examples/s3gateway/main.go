// Command s3gateway is an S3 server over a local directory. It is an example: it shows
// what a storage backend has to write to have all of S3's server-side encryption, which
// is calls to package sse, and nothing else.
//
//	s3gateway --dir DIR [--listen ADDR] [--cert F --key F] [--auto-encryption] [--etag md5|random]
//	s3gateway rewrap --dir DIR --to KEY [--from KEY]... [--dry-run] [--resume] [--json]
//
// Keys come from the environment, as for a MinIO server (see kms/kmsenv). Customer keys
// (SSE-C) need TLS.
//
// It checks no signatures and knows no users: whoever reaches it may do everything. So it
// listens on loopback addresses only. It has no versions, no locks and no replication.
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/objseal/objseal/kms"
	"github.com/objseal/objseal/kms/kmsenv"
	"github.com/objseal/objseal/sse"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	run := serve
	args := os.Args[1:]
	if len(args) > 0 && args[0] == "rewrap" {
		run, args = rewrap, args[1:]
	}
	err := run(ctx, args, os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintf(os.Stderr, "s3gateway: %v\n", err)
		os.Exit(2)
	case err != nil:
		fmt.Fprintf(os.Stderr, "s3gateway: error: %v\n", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

// parse reads the flags of one of the two.
func parse(flags *flag.FlagSet, args []string, stderr io.Writer) error {
	flags.SetOutput(stderr)
	if err := flags.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return fmt.Errorf("%w: %w", errUsage, err)
	}
	if flags.NArg() > 0 {
		return fmt.Errorf("%w: unexpected argument %q", errUsage, flags.Arg(0))
	}
	return nil
}

// keys returns where data keys come from, nil if the environment says nothing of it.
func keys() (*kms.Client, kmsenv.Config, error) {
	client, config, err := kmsenv.Load(nil, nil)
	if errors.Is(err, kms.ErrNotConfigured) {
		return nil, kmsenv.Config{Source: "none, only customer keys"}, nil
	}
	return client, config, err
}

func serve(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	flags := flag.NewFlagSet("s3gateway", flag.ContinueOnError)
	dir := flags.String("dir", "", "`directory` of the store, which must exist")
	listen := flags.String("listen", "127.0.0.1:9000", "loopback `address`")
	cert := flags.String("cert", "", "`file` of the TLS certificate")
	key := flags.String("key", "", "`file` of its private key")
	auto := flags.Bool("auto-encryption", false, "SSE-KMS under the default key where nothing is asked for")
	etag := flags.String("etag", "md5", "`kind` of ETag under SSE-KMS and SSE-C, md5 or random: MD5 is the slowest step of an upload, and proves content")
	if err := parse(flags, args, stderr); err != nil {
		return err
	}
	if *dir == "" || (*cert == "") != (*key == "") || *etag != "md5" && *etag != "random" {
		return fmt.Errorf("%w: --dir is needed, --cert goes with --key, and --etag is md5 or random", errUsage)
	}
	s, err := openDurable(*dir)
	if err != nil {
		return err
	}
	client, config, err := keys()
	if err != nil {
		return err
	}
	var tlsConfig *tls.Config
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			return fmt.Errorf("failed to read the certificate: %w", err)
		}
		tlsConfig = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	l, err := listenLoopback(*listen)
	if err != nil {
		return err
	}
	g := &gateway{store: s, client: client, autoEncryption: *auto || config.AutoEncryption, log: log.New(stderr, "s3gateway: ", log.LstdFlags)}
	if *etag == "random" {
		g.policy = sse.ETagRandom
	}
	if err := s.sweep(); err != nil { // a damaged record keeps nobody from the others
		g.log.Printf("what others left behind was not removed: %v", err)
	}
	server := &http.Server{Handler: onlyLocal(g), ErrorLog: g.log, TLSConfig: tlsConfig, ReadHeaderTimeout: time.Minute}
	g.log.Printf("keys: %s, default key %q", config.Source, config.DefaultKeyID)
	g.log.Print("signatures are not checked: whoever reaches this address may do everything")
	scheme := "http"
	if *cert != "" {
		scheme = "https"
	}
	fmt.Fprintf(stdout, "listening on %s://%s\n", scheme, l.Addr())
	stopped := make(chan error, 1)
	go func() {
		<-ctx.Done()
		grace, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		stopped <- server.Shutdown(grace)
	}()
	if *cert != "" {
		err = server.ServeTLS(l, "", "")
	} else {
		err = server.Serve(l)
	}
	if errors.Is(err, http.ErrServerClosed) {
		err = <-stopped
	}
	return err
}

// listenLoopback listens where only this machine can reach it.
func listenLoopback(address string) (net.Listener, error) {
	resolved, err := net.ResolveTCPAddr("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errUsage, err)
	}
	if !resolved.IP.IsLoopback() {
		return nil, fmt.Errorf("%w: %s is no loopback address, and signatures are not checked", errUsage, address)
	}
	return net.ListenTCP("tcp", resolved)
}

// onlyLocal keeps web pages out that a browser on this machine has open: no signature
// stands in the way of what a page of another site sends here, nor, if its name was made
// to lead here, of what it reads.
func onlyLocal(h http.Handler) http.Handler {
	h = http.NewCrossOriginProtection().Handler(h)
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		host := req.Host
		if name, _, err := net.SplitHostPort(host); err == nil {
			host = name
		}
		if ip := net.ParseIP(strings.Trim(host, "[]")); host != "localhost" && (ip == nil || !ip.IsLoopback()) {
			http.Error(w, "this server has no such name", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, req)
	})
}
