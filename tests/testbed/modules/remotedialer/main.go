// remotedialer is a tunnel made of Rancher's library.
//
// usage: remotedialer server PORT FRONT CERT KEY TOKEN TARGET: agents come to PORT with TLS; each connection to FRONT
// is dialled to TARGET by the agent named agent-0.
// usage: remotedialer agents PORT CA TOKEN COUNT.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync"

	"github.com/gorilla/websocket"
	"github.com/rancher/remotedialer"
	"github.com/sirupsen/logrus"
)

func main() {
	logrus.SetLevel(logrus.FatalLevel)
	switch os.Args[1] {
	case "server":
		server(os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6], os.Args[7])
	case "agents":
		agents(os.Args[2], os.Args[3], os.Args[4], os.Args[5])
	default:
		log.Fatalf("no such role: %s", os.Args[1])
	}
}

func server(port, front, cert, key, token, target string) {
	tunnel := remotedialer.New(func(request *http.Request) (string, bool, error) {
		is := request.Header.Get("Authorization") == "Bearer "+token
		return request.Header.Get("X-Agent"), is, nil
	}, remotedialer.DefaultErrorWriter)
	go func() { log.Fatal(http.ListenAndServeTLS("127.0.0.1:"+port, cert, key, tunnel)) }()
	listener, err := net.Listen("tcp", "127.0.0.1:"+front)
	if err != nil {
		log.Fatal(err)
	}
	for {
		caller, err := listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go forward(caller, tunnel.Dialer("agent-0"), target)
	}
}

func forward(caller net.Conn, dial remotedialer.Dialer, target string) {
	defer caller.Close()
	cluster, err := dial(context.Background(), "tcp", target)
	if err != nil {
		return
	}
	defer cluster.Close()
	var both sync.WaitGroup
	both.Go(func() { pipe(cluster, caller) })
	both.Go(func() { pipe(caller, cluster) })
	both.Wait()
}

func pipe(to, from net.Conn) {
	io.Copy(to, from)
	to.Close()
	from.Close()
}

func agents(port, ca, token, countText string) {
	count, err := strconv.Atoi(countText)
	if err != nil {
		log.Fatal(err)
	}
	pem, err := os.ReadFile(ca)
	if err != nil {
		log.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(pem)
	dialer := &websocket.Dialer{
		TLSClientConfig:  &tls.Config{RootCAs: trusted},
		HandshakeTimeout: remotedialer.HandshakeTimeOut,
	}
	var all sync.WaitGroup
	for number := range count {
		all.Go(func() { agent("wss://127.0.0.1:"+port, fmt.Sprintf("agent-%d", number), token, dialer) })
	}
	all.Wait()
}

func agent(url, name, token string, dialer *websocket.Dialer) {
	headers := http.Header{"Authorization": {"Bearer " + token}, "X-Agent": {name}}
	anything := func(string, string) bool { return true }
	for {
		remotedialer.ClientConnect(context.Background(), url, headers, dialer, anything, nil)
	}
}
