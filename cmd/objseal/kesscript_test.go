package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/objseal/objseal/kms/kes"
	"github.com/objseal/objseal/kms/kes/kestest"
)

// kesServers are those of the running scripts, by working directory.
var kesServers sync.Map

// keyServer is a KES server for a script, and the variables of its clients:
//
//	kes start KEY...             starts one with these keys, the first the default; writes ca.pem
//	kes admin                    the client is the administrator, by an API key
//	kes allow RULE...            the client is somebody with that policy, by an API key
//	kes cert DAYS                the client is the same by a certificate (client.crt, client.key) with so many days left
//	kes fault PATH STATUS TEXT   paths that begin so answer that; TEXT in KES's form, or as it is after "raw "
//	kes log PATH LINE...         answers with these lines, and ends
//	kes heal                     no more faults
//	kes stop                     nobody listens any more
//	kes count PATH N             there were N requests whose path begins so
func keyServer(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: kes COMMAND ...")
	}
	command, args := args[0], args[1:]
	if command == "start" {
		s := kestest.NewServer()
		ts.Defer(s.Close)
		kesServers.Store(ts.MkAbs("."), s)
		s.CreateKey(args...)
		ts.Setenv("KES_URL", s.URL)
		ts.Setenv("MINIO_KMS_KES_ENDPOINT", s.URL)
		if len(args) > 0 {
			ts.Setenv("MINIO_KMS_KES_KEY_NAME", args[0])
		}
		ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw})
		ts.Check(os.WriteFile(ts.MkAbs("ca.pem"), ca, 0o644))
		return
	}
	found, ok := kesServers.Load(ts.MkAbs("."))
	if !ok {
		ts.Fatalf("no server was started in this directory")
	}
	s := found.(*kestest.Server)
	switch command {
	case "admin":
		ts.Setenv("MINIO_KMS_KES_API_KEY", s.Admin.Text())
		ts.Setenv("IDENTITY", s.Admin.Identity())
	case "allow":
		key := kes.NewAPIKey()
		s.Allow(key.Identity(), args...)
		ts.Setenv("MINIO_KMS_KES_API_KEY", key.Text())
		ts.Setenv("IDENTITY", key.Identity())
	case "cert":
		days, err := strconv.Atoi(args[0])
		ts.Check(err)
		identity := clientCertificate(ts, time.Now().AddDate(0, 0, days).Add(time.Hour))
		s.Allow(identity, "/v1/*")
		ts.Setenv("MINIO_KMS_KES_CERT_FILE", "client.crt")
		ts.Setenv("MINIO_KMS_KES_KEY_FILE", "client.key")
		ts.Setenv("IDENTITY", identity)
	case "fault":
		status, err := strconv.Atoi(args[1])
		ts.Check(err)
		fault := kestest.Status(status, args[2])
		if raw, ok := strings.CutPrefix(args[2], "raw "); ok {
			fault = kestest.Answer(status, "text/plain", raw)
		}
		s.Inject(args[0], -1, fault)
	case "log":
		s.Inject(args[0], -1, func(w http.ResponseWriter, _ *http.Request, _ *kestest.Server) {
			io.WriteString(w, strings.Join(args[1:], "\n")+"\n")
		})
	case "heal":
		s.Heal()
	case "stop":
		s.Close()
	case "count":
		if n := strconv.Itoa(s.Count(args[0])); n != args[1] {
			ts.Fatalf("%s requests of %s, want %s", n, args[0], args[1])
		}
	default:
		ts.Fatalf("kes does not know %s", command)
	}
}

// clientCertificate writes client.crt and client.key, and returns the identity.
func clientCertificate(ts *testscript.TestScript, notAfter time.Time) string {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	ts.Check(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "client"}, NotBefore: notAfter.AddDate(-10, 0, 0), NotAfter: notAfter,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	ts.Check(err)
	leaf, err := x509.ParseCertificate(der)
	ts.Check(err)
	key, err := x509.MarshalPKCS8PrivateKey(private)
	ts.Check(err)
	for file, block := range map[string]*pem.Block{"client.crt": {Type: "CERTIFICATE", Bytes: der}, "client.key": {Type: "PRIVATE KEY", Bytes: key}} {
		ts.Check(os.WriteFile(ts.MkAbs(file), pem.EncodeToMemory(block), 0o600))
	}
	return kes.Identity(leaf)
}
