// SPDX-License-Identifier: MIT
//
// acl: which frames may pass, by address, type, VLAN, port and direction. Rules are asked in order;
// the first that fits decides, and the default where none does. A frame that is not allowed counts
// at its port as filtered.
//
//   acl/add allow src 52:54:00:00:00:00/24 in port 3
//   acl/add deny type 0x86dd
//   acl/default deny
#include <array>
#include <cerrno>
#include <charconv>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lanyard_plugin.h"

namespace {

constexpr std::size_t kRulesMax = 4096;
constexpr std::uint32_t kHeaderSize = 14;
constexpr std::uint32_t kTagSize = 4;

struct Station {
  std::uint64_t address = 0;
  std::uint64_t mask = 0;  // 0: any
  bool fits(std::uint64_t mac) const { return (mac & mask) == address; }
};

struct Rule {
  bool allow = false;
  Station source;
  Station destination;
  int type = -1;  // -1: any
  int vlan = -1;
  int port = -1;
  unsigned directions = LANYARD_INGRESS | LANYARD_EGRESS;
  std::string text;
  std::uint64_t hits = 0;
};

// What rules look at.
struct Header {
  std::uint64_t source = 0;
  std::uint64_t destination = 0;
  int type = 0;
  int vlan = 0;  // 0: untagged on the way in
};

// ---- reading ----

std::uint64_t load(const std::uint8_t* bytes, int count) {
  std::uint64_t number = 0;
  for (int i = 0; i < count; ++i) number = number << 8 | bytes[i];
  return number;
}

// False when there is no Ethernet header; the switch drops it itself.
bool read_header(const lanyard_frame& frame, Header& header) {
  if (frame.length < kHeaderSize) return false;
  header.destination = load(frame.data, 6);
  header.source = load(frame.data + 6, 6);
  header.type = static_cast<int>(load(frame.data + 12, 2));
  header.vlan = frame.vlan;
  if (header.type == 0x8100 && frame.length >= kHeaderSize + kTagSize) {
    header.vlan = static_cast<int>(load(frame.data + 14, 2) & 0xfff);
    header.type = static_cast<int>(load(frame.data + 16, 2));
  }
  return true;
}

// "52:54:00:00:00:00" or with "/24": how many of the leading bits count.
std::optional<Station> parse_station(std::string_view text) {
  unsigned bits = 48;
  if (const std::size_t slash = text.find('/'); slash != std::string_view::npos) {
    const std::string number(text.substr(slash + 1));
    char* end = nullptr;
    bits = static_cast<unsigned>(std::strtoul(number.c_str(), &end, 10));
    if (number.empty() || *end != '\0' || bits > 48) return std::nullopt;
    text = text.substr(0, slash);
  }
  if (text.size() != 17) return std::nullopt;
  Station station;
  for (std::size_t i = 0; i < 6; ++i) {
    const std::string_view digits = text.substr(3 * i, 2);
    unsigned byte = 0;
    const auto [end, error] = std::from_chars(digits.begin(), digits.end(), byte, 16);
    if (end != digits.end() || error != std::errc{}) return std::nullopt;
    if (i < 5 && text[3 * i + 2] != ':') return std::nullopt;
    station.address = station.address << 8 | byte;
  }
  constexpr std::uint64_t kAll = (std::uint64_t{1} << 48) - 1;
  station.mask = bits == 0 ? 0 : kAll << (48 - bits) & kAll;
  station.address &= station.mask;
  return station;
}

std::optional<int> parse_number(std::string_view text, long low, long high) {
  const std::string copy(text);
  char* end = nullptr;
  errno = 0;
  const bool hexadecimal = copy.starts_with("0x");
  const long number = std::strtol(copy.c_str(), &end, hexadecimal ? 16 : 10);
  if (copy.empty() || *end != '\0' || errno != 0 || number < low || number > high) {
    return std::nullopt;
  }
  return static_cast<int>(number);
}

std::vector<std::string_view> words(std::string_view line) {
  std::vector<std::string_view> found;
  while (!line.empty()) {
    const std::size_t start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos) break;
    line.remove_prefix(start);
    const std::size_t end = std::min(line.find_first_of(" \t"), line.size());
    found.push_back(line.substr(0, end));
    line.remove_prefix(end);
  }
  return found;
}

std::optional<int> parse_type(std::string_view text) {
  if (text == "arp") return 0x0806;
  if (text == "ip") return 0x0800;
  if (text == "ip6") return 0x86dd;
  return parse_number(text, 0, 0xffff);
}

// Reads one condition, a word and its value; false when it is none.
bool add_condition(Rule& rule, std::string_view word, std::string_view value) {
  if (word == "src" || word == "dst") {
    const std::optional<Station> station = parse_station(value);
    if (station) (word == "src" ? rule.source : rule.destination) = *station;
    return station.has_value();
  }
  std::optional<int> number;
  int* to = nullptr;
  if (word == "type") {
    number = parse_type(value);
    to = &rule.type;
  } else if (word == "vlan") {
    number = parse_number(value, 0, 4095);
    to = &rule.vlan;
  } else if (word == "port") {
    number = parse_number(value, 0, 65534);
    to = &rule.port;
  }
  if (number) *to = *number;
  return number.has_value();
}

// A condition that stands there twice is refused: whoever writes "type arp type ip6" means either,
// and no frame is both.
std::optional<Rule> parse_rule(std::string_view line) {
  const std::vector<std::string_view> parts = words(line);
  if (parts.empty() || (parts[0] != "allow" && parts[0] != "deny")) return std::nullopt;
  Rule rule;
  rule.allow = parts[0] == "allow";
  std::set<std::string_view> seen;
  for (std::size_t i = 1; i < parts.size(); ++i) {
    const bool direction = parts[i] == "in" || parts[i] == "out";
    if (!seen.insert(direction ? "in" : parts[i]).second) return std::nullopt;
    if (direction) {
      rule.directions = parts[i] == "in" ? LANYARD_INGRESS : LANYARD_EGRESS;
      continue;
    }
    if (i + 1 == parts.size() || !add_condition(rule, parts[i], parts[i + 1])) return std::nullopt;
    ++i;
  }
  for (const std::string_view part : parts) {
    if (!rule.text.empty()) rule.text += ' ';
    rule.text += part;
  }
  return rule;
}

// ---- the list ----

class Acl {
 public:
  explicit Acl(const lanyard_host* host) : host_(host) {}
  int start();

 private:
  using Handler = int (Acl::*)(std::string_view, lanyard_reply*);
  template <Handler handler>
  int add_command(const char* path, const char* synopsis, const char* help,
                  std::uint32_t effect = LANYARD_ADDS);
  int add(std::string_view text, lanyard_reply*);
  int remove(std::string_view text, lanyard_reply*);
  int list(std::string_view, lanyard_reply* reply);
  int set_default(std::string_view text, lanyard_reply*);

  void frames(lanyard_batch* batch);
  bool allows(const Header& header, const lanyard_batch& batch);

  const lanyard_host* host_;
  std::vector<Rule> rules_;
  bool allow_by_default_ = true;
  std::uint64_t default_hits_ = 0;
};

void Acl::frames(lanyard_batch* batch) {
  if (rules_.empty() && allow_by_default_) return;
  for (std::uint32_t i = 0; i < batch->count; ++i) {
    lanyard_frame* const frame = lanyard_frame_at(batch, i);
    Header header;
    if (read_header(*frame, header) && !allows(header, *batch)) frame->verdict = LANYARD_DROP;
  }
}

bool Acl::allows(const Header& header, const lanyard_batch& batch) {
  for (Rule& rule : rules_) {
    if ((rule.directions & batch.direction) == 0) continue;
    if (rule.port >= 0 && rule.port != batch.port) continue;
    if (rule.type >= 0 && rule.type != header.type) continue;
    if (rule.vlan >= 0 && rule.vlan != header.vlan) continue;
    if (!rule.source.fits(header.source) || !rule.destination.fits(header.destination)) continue;
    ++rule.hits;
    return rule.allow;
  }
  // A frame is judged by the default once: when it comes.
  if (batch.direction == LANYARD_EGRESS) return true;
  ++default_hits_;
  return allow_by_default_;
}

int Acl::add(std::string_view text, lanyard_reply*) {
  if (rules_.size() >= kRulesMax) return -ENOSPC;
  std::optional<Rule> rule = parse_rule(text);
  if (!rule) return -EINVAL;
  rules_.push_back(std::move(*rule));
  return 0;
}

// By its number in the list; without one, all.
int Acl::remove(std::string_view text, lanyard_reply*) {
  if (text.empty()) {
    rules_.clear();
    return 0;
  }
  const std::optional<int> number = parse_number(text, 1, kRulesMax);
  if (!number) return -EINVAL;
  if (static_cast<std::size_t>(*number) > rules_.size()) return -ENOENT;
  rules_.erase(rules_.begin() + *number - 1);
  return 0;
}

int Acl::list(std::string_view, lanyard_reply* reply) {
  std::size_t number = 0;
  std::array<char, 512> line{};
  for (const Rule& rule : rules_) {
    std::snprintf(line.data(), line.size(), "%4zu %-60s %llu", ++number, rule.text.c_str(),
                  static_cast<unsigned long long>(rule.hits));
    host_->reply(host_, reply, line.data());
  }
  std::snprintf(line.data(), line.size(), "else %-60s %llu", allow_by_default_ ? "allow" : "deny",
                static_cast<unsigned long long>(default_hits_));
  host_->reply(host_, reply, line.data());
  return 0;
}

int Acl::set_default(std::string_view text, lanyard_reply*) {
  if (text != "allow" && text != "deny") return -EINVAL;
  allow_by_default_ = text == "allow";
  return 0;
}

template <Acl::Handler handler>
int Acl::add_command(const char* path, const char* synopsis, const char* help,
                     std::uint32_t effect) {
  lanyard_command row{};
  row.size = sizeof row;
  row.has_data = effect == LANYARD_SHOWS ? 1 : 0;
  row.effect = effect;
  row.path = path;
  row.synopsis = synopsis;
  row.help = help;
  row.run = [](void* self, const char* arguments, lanyard_reply* reply) {
    return (static_cast<Acl*>(self)->*handler)(arguments, reply);
  };
  return host_->add_command(host_, &row);
}

int Acl::start() {
  lanyard_filter filter{};
  filter.size = sizeof filter;
  filter.directions = LANYARD_INGRESS | LANYARD_EGRESS;
  filter.priority = 50;
  filter.frames = [](void* self, lanyard_batch* batch) { static_cast<Acl*>(self)->frames(batch); };
  if (const int error = host_->add_filter(host_, &filter); error < 0) return error;
  add_command<&Acl::add>("acl/add", "RULE", "allow|deny [src|dst MAC[/N]] [type T] [vlan V] ...");
  add_command<&Acl::remove>("acl/del", "[N]", "take rule N away, or all");
  add_command<&Acl::list>("acl/list", "", "list the rules and how often each decided",
                          LANYARD_SHOWS);
  return add_command<&Acl::set_default>("acl/default", "allow|deny", "where no rule fits",
                                        LANYARD_SETS);
}

int start_plugin(const lanyard_host* host, void** self) {
  auto acl = std::make_unique<Acl>(host);
  if (const int error = acl->start(); error < 0) return error;
  *self = acl.release();
  return 0;
}

void stop_plugin(void* self) {
  delete static_cast<Acl*>(self);
}

}  // namespace

LANYARD_PLUGIN("acl", "allow or deny frames", start_plugin, stop_plugin);
