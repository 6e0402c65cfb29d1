// A door before Google's Pub/Sub emulator, which it starts when it is given the command.
//
// The emulator (0.8.20) keeps a streaming pull that was cancelled, or whose process ended, for ever: it goes on offering it
// messages, in a hot loop, and no other subscriber gets them. It notices only a stream whose client ends its side first, as
// not every client does and no killed one can. This program passes every call on to the emulator, and does that much for
// the clients: when one is gone, it ends the client's side of the call, waits, and only then cancels it. What is not gRPC,
// the emulator's HTTP, goes through as it is.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	// How long the emulator gets to end a call whose client is gone.
	farewell = 2 * time.Second
	// The largest message: Pub/Sub's 10 MB, and room.
	bytesMax = 64 << 20
)

// raw passes messages on as they are.
type raw struct{}

func (raw) Name() string { return "proto" }

func (raw) Marshal(message any) ([]byte, error) {
	bytes, ok := message.(*[]byte)
	if !ok {
		return nil, fmt.Errorf("a %T is no message that was passed on", message)
	}
	return *bytes, nil
}

func (raw) Unmarshal(data []byte, into any) error {
	bytes, ok := into.(*[]byte)
	if !ok {
		return fmt.Errorf("a %T takes no message that is passed on", into)
	}
	*bytes = append([]byte(nil), data...)
	return nil
}

type door struct {
	emulator *grpc.ClientConn
}

// pass is the handler of every call.
func (d door) pass(_ any, client grpc.ServerStream) error {
	method, ok := grpc.MethodFromServerStream(client)
	if !ok {
		return status.Error(codes.Internal, "the call has no method")
	}
	// Not the client's own context: its end must not cancel the call to the emulator.
	ctx, cancel := context.WithCancel(context.WithoutCancel(client.Context()))
	defer cancel()
	if sent, ok := metadata.FromIncomingContext(client.Context()); ok {
		ctx = metadata.NewOutgoingContext(ctx, sent.Copy())
	}
	both := &grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	emulator, err := d.emulator.NewStream(ctx, both, method)
	if err != nil {
		return err
	}

	answered := make(chan error, 1)
	go func() { answered <- answers(emulator, client) }()
	asked := make(chan error, 1)
	go func() { asked <- asks(client, emulator) }()
	for {
		select {
		case err := <-answered:
			client.SetTrailer(emulator.Trailer())
			return err
		case err := <-asked:
			if closed := emulator.CloseSend(); closed != nil {
				return closed
			}
			if err == nil {
				asked = nil
				continue
			}
		case <-client.Context().Done():
			_ = emulator.CloseSend()
		}
		if client.Context().Err() == nil {
			continue
		}
		select {
		case <-answered:
		case <-time.After(farewell):
		}
		return status.FromContextError(client.Context().Err()).Err()
	}
}

// asks passes on what the client sends, up to its end.
func asks(client grpc.ServerStream, emulator grpc.ClientStream) error {
	for {
		var message []byte
		if err := client.RecvMsg(&message); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if err := emulator.SendMsg(&message); err != nil {
			// What went wrong is the emulator's answer.
			return nil
		}
	}
}

// answers passes on what the emulator sends, up to its end. A client that is gone misses what still comes.
func answers(emulator grpc.ClientStream, client grpc.ServerStream) error {
	for first := true; ; first = false {
		var message []byte
		if err := emulator.RecvMsg(&message); err != nil {
			if errors.Is(err, io.EOF) {
				return nil
			}
			return err
		}
		if first {
			if header, err := emulator.Header(); err == nil {
				_ = client.SetHeader(header)
			}
		}
		_ = client.SendMsg(&message)
	}
}

// sorted is a listener that keeps the connections that speak gRPC, and passes the others on.
type sorted struct {
	net.Listener
	grpc chan net.Conn
	to   string
}

func (s sorted) Accept() (net.Conn, error) { return <-s.grpc, nil }

func (s sorted) sort() {
	for {
		connection, err := s.Listener.Accept()
		if err != nil {
			log.Fatal(err)
		}
		go func() {
			peeked := bufio.NewReader(connection)
			// How HTTP/2, and so gRPC, begins.
			begins, err := peeked.Peek(3)
			switch {
			case err != nil:
				_ = connection.Close()
			case string(begins) == "PRI":
				s.grpc <- begun{connection, peeked}
			default:
				s.pipe(connection, peeked)
			}
		}()
	}
}

// begun is a connection of which a part was read.
type begun struct {
	net.Conn
	read io.Reader
}

func (b begun) Read(into []byte) (int, error) { return b.read.Read(into) }

func (s sorted) pipe(client net.Conn, begun io.Reader) {
	defer client.Close()
	emulator, err := net.Dial("tcp", s.to)
	if err != nil {
		log.Print(err)
		return
	}
	defer emulator.Close()
	go func() {
		_, _ = io.Copy(emulator, begun)
		_ = emulator.(*net.TCPConn).CloseWrite()
	}()
	_, _ = io.Copy(client, emulator)
}

// run starts the emulator, which ends with this program, as this program does with it.
func run(command []string) {
	emulator := exec.Command(command[0], command[1:]...)
	emulator.Stdout, emulator.Stderr = os.Stdout, os.Stderr
	tie(emulator)
	if err := emulator.Start(); err != nil {
		log.Fatal(err)
	}
	told := make(chan os.Signal, 1)
	signal.Notify(told, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-told
		_ = emulator.Process.Kill()
	}()
	go func() { log.Fatalf("the emulator ended: %v", emulator.Wait()) }()
}

func main() {
	// What is tied to this process is tied to the thread that started it.
	runtime.LockOSThread()
	listen := flag.String("listen", "127.0.0.1:29085", "where clients connect")
	to := flag.String("emulator", "127.0.0.1:29086", "where the emulator listens")
	flag.Parse()
	if command := flag.Args(); len(command) > 0 {
		run(command)
	}

	emulator, err := grpc.NewClient(
		*to,
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(
			grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(bytesMax), grpc.MaxCallSendMsgSize(bytesMax),
		),
	)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.ForceServerCodec(raw{}),
		grpc.UnknownServiceHandler(door{emulator}.pass),
		grpc.MaxRecvMsgSize(bytesMax),
		grpc.MaxSendMsgSize(bytesMax),
	)
	log.Printf("passing calls from %s to the emulator at %s", *listen, *to)
	both := sorted{listener, make(chan net.Conn), *to}
	go both.sort()
	log.Fatal(server.Serve(both))
}
