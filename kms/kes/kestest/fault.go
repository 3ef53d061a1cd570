package kestest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"time"
)

// A Fault answers a request in the server's place. It may ask the server first:
// s.KES.ServeHTTP.
type Fault func(w http.ResponseWriter, r *http.Request, s *Server)

type injection struct {
	prefix string
	left   int // negative: without end
	fault  Fault
}

// Inject makes the next n requests whose path begins with prefix meet a fault;
// all of them if n is negative. Faults injected first come first.
func (s *Server) Inject(prefix string, n int, f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &injection{prefix, n, f})
}

// Heal takes all faults back. Requests that hang go on hanging.
func (s *Server) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}

func (s *Server) nextFault(path string) Fault {
	for _, i := range s.faults {
		if i.left != 0 && strings.HasPrefix(path, i.prefix) {
			i.left--
			return i.fault
		}
	}
	return nil
}

// Status answers with a status and a message in the form of KES servers.
func Status(status int, message string) Fault {
	text, err := json.Marshal(message)
	if err != nil {
		panic("kestest: " + err.Error())
	}
	return Answer(status, "application/json", fmt.Sprintf("{\"message\":%s\n}", text))
}

// Answer answers with anything.
func Answer(status int, contentType, body string) Fault {
	return func(w http.ResponseWriter, _ *http.Request, _ *Server) {
		w.Header().Set("Content-Type", contentType)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		w.WriteHeader(status)
		w.Write([]byte(body))
	}
}

// Hang never answers: until the client or the server gives up.
func Hang(_ http.ResponseWriter, r *http.Request, s *Server) {
	select {
	case <-r.Context().Done():
	case <-s.closed:
	}
	panic(http.ErrAbortHandler)
}

// Delay answers as usual, later.
func Delay(d time.Duration) Fault {
	return func(w http.ResponseWriter, r *http.Request, s *Server) {
		select {
		case <-time.After(d):
			s.KES.ServeHTTP(w, r)
		case <-r.Context().Done():
		case <-s.closed:
		}
	}
}

// Drop breaks the connection, or the stream, instead of an answer.
func Drop(http.ResponseWriter, *http.Request, *Server) { panic(http.ErrAbortHandler) }

// LoseAnswer does what is asked, and then breaks the connection.
func LoseAnswer(_ http.ResponseWriter, r *http.Request, s *Server) {
	s.KES.ServeHTTP(httptest.NewRecorder(), r)
	panic(http.ErrAbortHandler)
}

// CutBody breaks the connection in the middle of the answer's body.
func CutBody(w http.ResponseWriter, r *http.Request, s *Server) {
	answer := httptest.NewRecorder()
	s.KES.ServeHTTP(answer, r)
	for name, values := range answer.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(answer.Code)
	w.Write(answer.Body.Bytes()[:answer.Body.Len()/2])
	http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// EmptyAnswer answers 200 and nothing else.
var EmptyAnswer = Answer(http.StatusOK, "application/json", "")

// PlaintextOf answers with a data key of n bytes.
func PlaintextOf(n int) Fault {
	text, err := json.Marshal(map[string][]byte{"plaintext": make([]byte, n), "ciphertext": make([]byte, 76)})
	if err != nil {
		panic("kestest: " + err.Error())
	}
	return Answer(http.StatusOK, "application/json", string(text))
}
