// The certificate maker of the TLS tests, for tls_test.cc.
#include "../tls/certs.cc"
