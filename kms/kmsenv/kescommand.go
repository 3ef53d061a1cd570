package kmsenv

import (
	"slices"
	"strings"
)

// The variables of the kes command (KES spec section 8.2), of each kind the
// first that is set counts. MinIO's, which the command knows too, have had their
// turn before.
var (
	commandServer = []string{"MINIO_KES_SERVER", "KES_SERVER"}
	commandAPIKey = []string{"MINIO_KES_API_KEY", "KES_API_KEY"}
	commandKey    = []string{"MINIO_KES_KEY_FILE", "KES_CLIENT_KEY", "MINIO_KES_CLIENT_KEY"}
	commandCert   = []string{"MINIO_KES_CERT_FILE", "KES_CLIENT_CERT", "MINIO_KES_CLIENT_CERT"}

	kesCommandVariables = slices.Concat(commandServer, commandAPIKey, commandKey, commandCert)
)

const defaultServer = "127.0.0.1:7373"

func parseKESCommand(env environment) (Config, error) {
	set := env.present(kesCommandVariables)
	if len(set) == 0 {
		return Config{}, nil
	}
	apiKeyName, apiKey := env.first(commandAPIKey)
	keyName, keyFile := env.first(commandKey)
	certName, certFile := env.first(commandCert)
	missing := func(message, name string) (Config, error) {
		return Config{}, &Error{Kind: ErrIncomplete, Variables: []string{name}, Message: message}
	}
	switch {
	case apiKey == "" && keyFile == "" && certFile == "":
		return missing("no API key specified. Consider setting MINIO_KES_API_KEY", commandAPIKey[0])
	case apiKey != "" && keyFile != "":
		return Config{}, conflict("API key and private key file cannot be used at the same time", []string{apiKeyName, keyName})
	case apiKey != "" && certFile != "":
		return Config{}, conflict("API key and certificate file cannot be used at the same time", []string{apiKeyName, certName})
	case apiKey == "" && certFile == "":
		return missing("no certificate file specified. Consider setting MINIO_KES_CERT_FILE", commandCert[0])
	case apiKey == "" && keyFile == "":
		return missing("no private key file specified. Consider setting MINIO_KES_KEY_FILE", commandKey[0])
	}

	serverName, addresses := env.first(commandServer)
	if serverName == "" {
		serverName, addresses = commandServer[0], defaultServer
	}
	server := kesServer{source: set[0], caPath: env.get(kesCAPath)}
	if err := server.listEndpoints(serverName, withScheme(addresses)); err != nil {
		return Config{}, err
	}
	if apiKey != "" {
		return server.withAPIKey(apiKeyName, apiKey)
	}
	return server.withCertificate(certificateFiles{certBy: certName, cert: certFile, keyBy: keyName, key: keyFile}, ""), nil
}

// withScheme makes https URLs of a comma-separated list of addresses.
func withScheme(addresses string) string {
	list := strings.Split(addresses, ",")
	for i, a := range list {
		a = strings.TrimPrefix(strings.TrimSpace(a), "http://")
		if a != "" && !strings.HasPrefix(a, "https://") {
			a = "https://" + a
		}
		list[i] = a
	}
	return strings.Join(list, ",")
}
