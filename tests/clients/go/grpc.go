package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// Messages are bytes as they are: no generated code is needed.
type raw struct{}

func (raw) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (raw) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (raw) Name() string { return "proto" }

const (
	messageLarge = 1 << 20
	atOnce       = 50
)

var service = grpc.ServiceDesc{
	ServiceName: "sluice.Echo",
	HandlerType: (*any)(nil),
	Methods: []grpc.MethodDesc{{MethodName: "Unary", Handler: func(_ any, _ context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var in []byte
		if err := decode(&in); err != nil {
			return nil, err
		}
		return &in, nil
	}}},
	Streams: []grpc.StreamDesc{
		{StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
			for {
				var in []byte
				if err := stream.RecvMsg(&in); err != nil {
					if err == io.EOF {
						return nil
					}
					return err
				}
				if err := stream.SendMsg(&in); err != nil {
					return err
				}
			}
		}},
		// The message says how many large ones come back.
		{StreamName: "Down", ServerStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
			var in []byte
			if err := stream.RecvMsg(&in); err != nil {
				return err
			}
			out := make([]byte, messageLarge)
			for i := int64(0); i < number(string(in)); i++ {
				if err := stream.SendMsg(&out); err != nil {
					return err
				}
			}
			return nil
		}},
		{StreamName: "Up", ClientStreams: true, Handler: func(_ any, stream grpc.ServerStream) error {
			total := 0
			for {
				var in []byte
				if err := stream.RecvMsg(&in); err == io.EOF {
					break
				} else if err != nil {
					return err
				}
				total += len(in)
			}
			out := []byte(fmt.Sprint(total))
			return stream.SendMsg(&out)
		}},
	},
}

// TLS with the CA of SSL_CERT_FILE, else as grpc-go has it; one connection.
func dial(target string) (*grpc.ClientConn, error) {
	pem, err := os.ReadFile(os.Getenv("SSL_CERT_FILE"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return grpc.Dial(target, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: pool})), grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{})))
}

func stream(target, name string) (grpc.ClientStream, error) {
	connection, err := dial(target)
	if err != nil {
		return nil, err
	}
	return connection.NewStream(context.Background(), &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}, "/sluice.Echo/"+name)
}

// TARGET COUNT: small calls, some at a time.
func grpcUnary(args []string) error {
	connection, err := dial(args[0])
	if err != nil {
		return err
	}
	errs := make(chan error, atOnce)
	var group sync.WaitGroup
	for i := 0; i < atOnce; i++ {
		group.Add(1)
		go func(i int) {
			defer group.Done()
			for n := number(args[1]) / atOnce; n > 0; n-- {
				in, out := []byte(fmt.Sprintf("message %d of %d", n, i)), []byte(nil)
				if err := connection.Invoke(context.Background(), "/sluice.Echo/Unary", &in, &out); err != nil {
					errs <- err
					return
				} else if string(in) != string(out) {
					errs <- errors.New("another message came back")
					return
				}
			}
		}(i)
	}
	group.Wait()
	close(errs)
	return <-errs
}

// TARGET COUNT: small messages of one stream, both ways at once.
func grpcChat(args []string) error {
	chat, err := stream(args[0], "Chat")
	if err != nil {
		return err
	}
	count := number(args[1])
	sent := make(chan error, 1)
	go func() {
		for i := int64(0); i < count; i++ {
			message := []byte(fmt.Sprintf("message %d", i))
			if err := chat.SendMsg(&message); err != nil {
				sent <- err
				return
			}
		}
		sent <- chat.CloseSend()
	}()
	for i := int64(0); i < count; i++ {
		var message []byte
		if err := chat.RecvMsg(&message); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if string(message) != fmt.Sprintf("message %d", i) {
			return fmt.Errorf("message %d: %q came", i, message)
		}
	}
	return <-sent
}

// TARGET COUNT: large messages from the server.
func grpcDown(args []string) error {
	down, err := stream(args[0], "Down")
	if err != nil {
		return err
	}
	ask := []byte(args[1])
	if err := down.SendMsg(&ask); err != nil {
		return err
	}
	if err := down.CloseSend(); err != nil {
		return err
	}
	for i := int64(0); ; i++ {
		var message []byte
		if err := down.RecvMsg(&message); err == io.EOF && i == number(args[1]) {
			return nil
		} else if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		if len(message) != messageLarge {
			return fmt.Errorf("message %d has %d bytes", i, len(message))
		}
	}
}

// TARGET COUNT: large messages to the server.
func grpcUp(args []string) error {
	up, err := stream(args[0], "Up")
	if err != nil {
		return err
	}
	message := make([]byte, messageLarge)
	for i := int64(0); i < number(args[1]); i++ {
		if err := up.SendMsg(&message); err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
	}
	if err := up.CloseSend(); err != nil {
		return err
	}
	var total []byte
	if err := up.RecvMsg(&total); err != nil {
		return err
	}
	if string(total) != fmt.Sprint(number(args[1])*messageLarge) {
		return fmt.Errorf("%s bytes came", total)
	}
	return nil
}
