#include "config/graph.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <vector>

#include "config/check.h"
#include "config/source.h"

namespace sluice::config {
namespace {

// What is drawn: boxes in three columns, and lines between them.
struct Box {
  std::string title;
  std::string text;
  bool odd = false;  // no request comes here
};
struct Line {
  std::size_t from, to;  // boxes of one column and of the next
  std::string text;
  bool dotted = false;  // only when the other way fails
};
struct Picture {
  std::vector<Box> listeners, routes, ends;
  std::vector<Line> to_routes, to_ends;
};

std::string joined(const std::vector<std::string>& all, std::string_view none) {
  std::string text;
  for (const std::string& one : all) text += text.empty() ? one : ", " + one;
  return text.empty() ? std::string(none) : text;
}

std::string path_of(const route::RouteOptions& r) {
  switch (r.path_match) {
    case route::PathMatch::any: return "any path";
    case route::PathMatch::exact: return "= " + r.path;
    case route::PathMatch::prefix: return r.path + "*";
    case route::PathMatch::regex: return "~ " + r.path;
  }
  return {};
}

std::string matches(const route::RouteOptions& r) {
  std::string text = joined(r.hosts, "any host") + " " + path_of(r);
  if (!r.methods.empty()) text += " " + joined(r.methods, "");
  for (const route::HeaderValue& header : r.headers) text += fmt::format(" {}: {}", header.name, header.value);
  return text;
}

Box box_of(const ListenerOptions& l) {
  std::vector<std::string> addresses;
  for (const ListenAddress& a : l.addresses) addresses.push_back(a.text);
  return {"listener " + l.name, joined(addresses, "") + (l.tls ? ", TLS" : "")};
}

Box box_of(const upstream::UpstreamOptions& u) {
  std::vector<std::string> endpoints;
  for (const upstream::EndpointSpec& e : u.endpoints) {
    if (endpoints.size() == 3) {
      endpoints.push_back(fmt::format("and {} more", u.endpoints.size() - 3));
      break;
    }
    endpoints.push_back(e.name);
  }
  const std::string names = !u.dns.empty() ? "dns " + u.dns : !u.srv.empty() ? "srv " + u.srv : joined(endpoints, "");
  return {"upstream " + u.name, names};
}

// Ends other than upstreams, a box each.
std::size_t add_end(Picture& picture, std::string title, std::string text) {
  picture.ends.push_back({std::move(title), std::move(text)});
  return picture.ends.size() - 1;
}

void add_ways(Picture& picture, const route::RouteOptions& r, std::size_t index) {
  if (r.action == route::Action::redirect)
    picture.to_ends.push_back(
        {index, add_end(picture, fmt::format("redirect {}", r.redirect.status), r.redirect.to), {}});
  if (r.action == route::Action::respond)
    picture.to_ends.push_back(
        {index, add_end(picture, fmt::format("respond {}", r.respond.status), "answered here"), {}});
  for (const route::Target& target : r.targets)
    picture.to_ends.push_back(
        {index, target.upstream_index, r.targets.size() > 1 ? fmt::format("weight {}", target.weight) : ""});
  if (!r.fallback) return;
  const bool responds = r.fallback->upstream.empty();
  const std::size_t to = responds
                             ? add_end(picture, fmt::format("respond {}", r.fallback->respond.status), "answered here")
                             : r.fallback->upstream_index;
  picture.to_ends.push_back({index, to, "fallback", true});
}

Picture picture_of(const Snapshot& s) {
  Picture picture;
  for (const ListenerOptions& l : s.listeners) picture.listeners.push_back(box_of(l));
  for (const upstream::UpstreamOptions& u : s.upstreams) picture.ends.push_back(box_of(u));
  const std::vector<std::uint32_t> hidden = hidden_by(s.routes);
  for (std::uint32_t i = 0; i < s.routes.size(); ++i) {
    const route::RouteOptions& r = s.routes[i];
    Box box{"route " + r.name, matches(r), hidden[i] != i};
    if (box.odd) box.text += "; never reached: route " + s.routes[hidden[i]].name + " takes all of it";
    picture.routes.push_back(std::move(box));
    for (std::uint32_t l = 0; l < s.listeners.size(); ++l) {
      if (r.listener_indices.empty() || std::ranges::find(r.listener_indices, l) != r.listener_indices.end())
        picture.to_routes.push_back({l, i, {}, hidden[i] != i});
    }
    add_ways(picture, r, i);
  }
  for (std::size_t e = 0; e < s.upstreams.size(); ++e) {
    if (std::ranges::find(picture.to_ends, e, &Line::to) != picture.to_ends.end()) continue;
    picture.ends[e].odd = true;
    picture.ends[e].text += "; no route leads here";
  }
  return picture;
}

// ---- text

std::string as_text(const Picture& picture) {
  std::string text;
  for (std::size_t l = 0; l < picture.listeners.size(); ++l) {
    text += fmt::format("{}  {}\n", picture.listeners[l].title, picture.listeners[l].text);
    for (const Line& line : picture.to_routes) {
      if (line.from != l) continue;
      const Box& r = picture.routes[line.to];
      text += fmt::format("  {} {}  {}\n", r.odd ? "x" : "+", r.title, r.text);
      for (const Line& way : picture.to_ends) {
        if (way.from != line.to) continue;
        const Box& end = picture.ends[way.to];
        text += fmt::format("      {} {}  {}{}\n", way.dotted ? "..>" : "-->", end.title, end.text,
                            way.text.empty() ? "" : "  (" + way.text + ")");
      }
    }
  }
  for (const Box& end : picture.ends) {
    if (end.odd) text += fmt::format("x {}  {}\n", end.title, end.text);
  }
  return text;
}

// ---- mermaid

// Its labels know entities with a '#' in front.
std::string mermaid_label(const Box& box) {
  std::string text;
  const auto add = [&text](std::string_view from) {
    for (const char c : from) {
      const bool plain = std::string_view(" -_./:,=~*()+").find(c) != std::string_view::npos ||
                         (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
                         static_cast<unsigned char>(c) >= 0x80;
      plain ? text.push_back(c) : void(fmt::format_to(std::back_inserter(text), "#{};", static_cast<int>(c)));
    }
  };
  add(box.title);
  text += "<br/>";
  add(box.text);
  return text;
}

std::string as_mermaid(const Picture& picture) {
  std::string text = "flowchart LR\n";
  const auto boxes = [&text](char letter, const std::vector<Box>& all) {
    for (std::size_t i = 0; i < all.size(); ++i)
      fmt::format_to(std::back_inserter(text), "  {}{}[\"{}\"]{}\n", letter, i, mermaid_label(all[i]),
                     all[i].odd ? ":::odd" : "");
  };
  const auto lines = [&text](char from, char to, const std::vector<Line>& all) {
    for (const Line& line : all)
      fmt::format_to(std::back_inserter(text), "  {}{} {}{} {}{}\n", from, line.from, line.dotted ? "-.->" : "-->",
                     line.text.empty() ? "" : "|" + line.text + "|", to, line.to);
  };
  boxes('l', picture.listeners);
  boxes('r', picture.routes);
  boxes('u', picture.ends);
  lines('l', 'r', picture.to_routes);
  lines('r', 'u', picture.to_ends);
  return text + "  classDef odd stroke-dasharray: 4 4\n";
}

// ---- svg

constexpr int box_width = 300, box_height = 44, gap = 14, column = 420, margin = 20;
constexpr std::size_t letters_most = 46;  // of a line in a box

std::string escaped(std::string_view from) {
  std::string text;
  for (const char c : from) {
    switch (c) {
      case '<': text += "&lt;"; break;
      case '>': text += "&gt;"; break;
      case '&': text += "&amp;"; break;
      case '"': text += "&quot;"; break;
      default: text += static_cast<unsigned char>(c) < 0x20 ? '?' : c;
    }
  }
  return text;
}

std::string cut(std::string_view text) {
  if (text.size() <= letters_most) return std::string(text);
  std::size_t end = letters_most - 3;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) --end;  // no half of a letter
  return std::string(text.substr(0, end)) + "...";
}

int top_of(std::size_t i) { return margin + static_cast<int>(i) * (box_height + gap); }

void draw_boxes(int at, const std::vector<Box>& all, std::string& to) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    const int x = margin + at * column;
    fmt::format_to(std::back_inserter(to),
                   "<g><title>{} {}</title><rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"4\"{}/>"
                   "<text x=\"{}\" y=\"{}\" class=\"t\">{}</text><text x=\"{}\" y=\"{}\">{}</text></g>\n",
                   escaped(all[i].title), escaped(all[i].text), x, top_of(i), box_width, box_height,
                   all[i].odd ? " class=\"odd\"" : "", x + 8, top_of(i) + 18, escaped(cut(all[i].title)), x + 8,
                   top_of(i) + 36, escaped(cut(all[i].text)));
  }
}

void draw_lines(int at, const std::vector<Line>& all, std::string& to) {
  for (const Line& line : all) {
    const int x = margin + at * column + box_width;
    const int from = top_of(line.from) + box_height / 2;
    const int until = top_of(line.to) + box_height / 2;
    fmt::format_to(std::back_inserter(to), "<path d=\"M{} {} C{} {} {} {} {} {}\"{}><title>{}</title></path>\n", x,
                   from, x + 60, from, x + 60, until, x + column - box_width, until,
                   line.dotted ? " class=\"odd\"" : "", escaped(line.text));
  }
}

std::string as_svg(const Picture& picture) {
  const std::size_t rows =
      std::max({picture.listeners.size(), picture.routes.size(), picture.ends.size(), std::size_t{1}});
  std::string text = fmt::format(
      "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\" font-family=\"monospace\" "
      "font-size=\"11\">\n"
      "<style>rect{{fill:#f6f8fa;stroke:#57606a}}.odd{{stroke-dasharray:4 4}}path{{fill:none;stroke:#57606a}}"
      ".t{{font-weight:bold}}</style>\n",
      2 * margin + 2 * column + box_width, top_of(rows) + margin);
  draw_lines(0, picture.to_routes, text);
  draw_lines(1, picture.to_ends, text);
  draw_boxes(0, picture.listeners, text);
  draw_boxes(1, picture.routes, text);
  draw_boxes(2, picture.ends, text);
  return text + "</svg>\n";
}

}  // namespace

std::optional<GraphFormat> graph_format(std::string_view word) {
  if (word == "text") return GraphFormat::text;
  if (word == "mermaid") return GraphFormat::mermaid;
  if (word == "svg") return GraphFormat::svg;
  return std::nullopt;
}

std::string graph(const Snapshot& snapshot, GraphFormat format) {
  const Picture picture = picture_of(snapshot);
  switch (format) {
    case GraphFormat::text: return as_text(picture);
    case GraphFormat::mermaid: return as_mermaid(picture);
    case GraphFormat::svg: return as_svg(picture);
  }
  return {};
}

}  // namespace sluice::config
