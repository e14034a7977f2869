package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"

	"golang.org/x/net/websocket"
	"google.golang.org/grpc"
)

func handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/small", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "small") })
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) {
		size := r.URL.Query().Get("bytes")
		w.Header().Set("Content-Length", size)
		io.CopyN(w, zeros{}, number(size)) // a client that leaves is the client's matter
	})
	mux.HandleFunc("/upload", func(w http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			http.Error(w, err.Error(), 400)
			return
		}
		fmt.Fprint(w, strconv.FormatInt(n, 10))
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) {
		if os.Getenv("CLIENTS_GZIP_FILE") == "" {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Encoding", "gzip")
		w.Header().Set("Content-Type", "text/plain")
		http.ServeFile(w, r, os.Getenv("CLIENTS_GZIP_FILE"))
	})
	echo := websocket.Server{Handler: func(c *websocket.Conn) { io.Copy(c, c) }} // bytes to bytes: frames are made anew
	mux.Handle("/socket", echo)
	return mux
}

// CERT KEY: serves HTTP/1.1 in the clear, HTTP/2 over TLS and gRPC in the clear; prints the three addresses and runs until it is ended.
func origin(args []string) error {
	var listeners [3]net.Listener
	for i := range listeners {
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		listeners[i] = listener
	}
	server := grpc.NewServer(grpc.ForceServerCodec(raw{}))
	server.RegisterService(&service, struct{}{})
	failed := make(chan error, 3)
	go func() { failed <- http.Serve(listeners[0], handler()) }()
	go func() { failed <- http.ServeTLS(listeners[1], handler(), args[0], args[1]) }()
	go func() { failed <- server.Serve(listeners[2]) }()
	fmt.Println(listeners[0].Addr(), listeners[1].Addr(), listeners[2].Addr())
	return <-failed
}
