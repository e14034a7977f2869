#include "exchange/local_reply.h"

#include <charconv>

namespace sluice::exchange {
namespace {

void add_number(http::Fields& to, http::Token token, uint32_t number) {
  char digits[10];
  const auto end = std::to_chars(digits, digits + sizeof digits, number).ptr;
  to.add(token, to.arena().copy({digits, static_cast<size_t>(end - digits)}));
}

}  // namespace

std::string_view phrase_of(uint16_t status) {
  switch (status) {
    case 200: return "OK";
    case 301: return "Moved Permanently";
    case 302: return "Found";
    case 303: return "See Other";
    case 307: return "Temporary Redirect";
    case 308: return "Permanent Redirect";
    case 400: return "Bad Request";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 417: return "Expectation Failed";
    case 421: return "Misdirected Request";
    case 425: return "Too Early";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 501: return "Not Implemented";
    case 502: return "Bad Gateway";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    case 508: return "Loop Detected";
    default: return "";
  }
}

Reply reply_for(http::Kind kind, base::Arena& arena) {
  Reply reply;
  reply.status = http::status_of(kind);
  reply.retry_after = reply.status == 503 ? 1 : 0;
  char digits[4];
  const auto end = std::to_chars(digits, digits + 4, reply.status).ptr;
  reply.body =
      arena.concat(std::string_view(digits, static_cast<size_t>(end - digits)), " ", phrase_of(reply.status), "\n");
  return reply;
}

// grpc-message is percent-encoded; the phrases of phrase_of() hold nothing that must be.
void add_grpc_status(http::Fields& to, http::GrpcStatus status, const Reply& reply) {
  add_number(to, http::Token::grpc_status, static_cast<uint32_t>(status));
  to.add(http::Token::grpc_message, reply.body.substr(0, reply.body.find('\n')));
}

void send_grpc_reply(http::Stream& stream, http::GrpcStatus status, const Reply& reply, http::Head& head) {
  head.status = 200;
  head.fields.add(http::Token::content_type, "application/grpc");
  add_grpc_status(head.fields, status, reply);
  if (!reply.reason.empty()) head.fields.add(http::Token::x_sluice_reason, reply.reason);
  stream.send_head(head, http::End::yes);
}

size_t send_reply(http::Stream& stream, http::Method method, const Reply& reply, http::Head& head) {
  head.status = reply.status;
  const bool has_body = !reply.body.empty() && reply.status != 204 && reply.status != 304;
  // RFC 9110 8.6: a 304 may say the length of what a 200 would have brought, which we do not know.
  if (reply.status != 204 && reply.status != 304) head.content_length = reply.body.size();
  if (has_body && !head.fields.has(http::Token::content_type))
    head.fields.add(http::Token::content_type, reply.content_type);
  if (!reply.location.empty()) head.fields.add(http::Token::location, reply.location);
  if (reply.retry_after != 0) add_number(head.fields, http::Token::retry_after, reply.retry_after);
  if (reply.status == 405) head.fields.add("allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS, PATCH");
  if (!reply.reason.empty()) head.fields.add(http::Token::x_sluice_reason, reply.reason);
  if (!has_body || method == http::Method::head) {
    stream.send_head(head, http::End::yes);
    return 0;
  }
  stream.send_head(head, http::End::no);
  net::ByteQueue bytes;
  if (reply.counted != nullptr) {
    bytes.append(net::Slice(*reply.counted));
  } else {
    bytes.append_copy(reply.body);
  }
  stream.send_body(std::move(bytes), http::End::yes);
  return reply.body.size();
}

}  // namespace sluice::exchange
