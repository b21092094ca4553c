// SPDX-License-Identifier: MIT
//
// What is said to the plugin netem: wirefilter's words, from a console or a file, and some of its
// own to choose a port. The layout of what is shown is wirefilter's.
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <optional>
#include <sstream>
#include <utility>

#include "plugins/netem_plugin.h"

namespace netem {
namespace {

constexpr int kLoadDepthMax = 8;
constexpr std::size_t kFileMax = std::size_t{1} << 20;
constexpr std::size_t kBlinkIdMax = 64;

// A negative errno, or 0. Only what can be read without waiting.
int read_small_file(const std::string& name, std::string& content) {
  const int fd = ::open(name.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
  if (fd < 0) return -errno;
  struct stat info {};
  int error = ::fstat(fd, &info) != 0 ? -errno : 0;
  if (error == 0 && !S_ISREG(info.st_mode)) error = -EINVAL;
  if (error == 0 && static_cast<std::size_t>(info.st_size) > kFileMax) error = -EFBIG;
  std::array<char, 4096> part{};
  while (error == 0 && content.size() <= kFileMax) {
    const ssize_t got = ::read(fd, part.data(), part.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) error = -errno;
    if (got <= 0) break;
    content.append(part.data(), static_cast<std::size_t>(got));
  }
  ::close(fd);
  return error;
}

}  // namespace

struct Netem::Word {
  const char* path;
  const char* synopsis;
  const char* help;
  int (*run)(void* self, const char* arguments, lanyard_reply* reply);
  bool has_data = false;
};

void Netem::print(lanyard_reply* reply, const char* format, ...) {
  std::array<char, 512> line{};
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(line.data(), line.size(), format, arguments);
  va_end(arguments);
  host_->reply(host_, reply, line.data());
}

template <Parameter parameter>
int Netem::set(std::string_view text, lanyard_reply*) {
  Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  const std::optional<Setting> setting = parse_setting(text);
  if (!setting || setting->node >= cable->nodes.size()) return -EINVAL;
  for (std::size_t side = 0; side < kDirections; ++side) {
    if (!setting->in_direction[side]) continue;
    cable->nodes[setting->node].values[parameter][side] = setting->value;
  }
  return 0;
}

// Chooses the cable that the other words are about, and lays it when there is none.
int Netem::cable(std::string_view text, lanyard_reply*) {
  const std::optional<long> port = whole_number(text);
  if (!port || *port < 0 || *port > 65534) return -EINVAL;
  selected_ = static_cast<int>(*port);
  cables_.try_emplace(static_cast<std::uint16_t>(*port));
  return 0;
}

int Netem::uncable(std::string_view text, lanyard_reply*) {
  const std::optional<long> port = whole_number(text);
  if (!port || *port < 0 || *port > 65534) return -EINVAL;
  const auto found = cables_.find(static_cast<std::uint16_t>(*port));
  if (found == cables_.end()) return -ENXIO;
  host_->remove_timer(host_, found->second.timer);
  cables_.erase(found);  // what is still under way arrives
  if (selected_ == *port) selected_ = -1;
  return 0;
}

int Netem::list(std::string_view, lanyard_reply* reply) {
  for (const auto& [port, cable] : cables_) {
    print(reply, "Port %04u %s", port, static_cast<int>(port) == selected_ ? "(chosen)" : "");
    for (std::size_t side = 0; side < kDirections; ++side) {
      const Channel& channel = cable.channels[side];
      print(reply, " -- %s passed %llu lost %llu waiting bytes %llu", side == 0 ? "L->R" : "R->L",
            static_cast<unsigned long long>(channel.passed),
            static_cast<unsigned long long>(channel.lost),
            static_cast<unsigned long long>(channel.queued_bytes));
    }
  }
  return 0;
}

int Netem::set_seed(std::string_view text, lanyard_reply*) {
  const std::optional<long> number = whole_number(text);
  if (!number) return -EINVAL;
  random_ = Random(static_cast<std::uint64_t>(*number));
  return 0;
}

int Netem::fifo(std::string_view text, lanyard_reply*) {
  Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  const std::optional<long> on = whole_number(text);
  if (!on) return -EINVAL;
  cable->fifo = *on != 0;
  return 0;
}

int Netem::showinfo(std::string_view text, lanyard_reply* reply) {
  const Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  const std::optional<long> asked = whole_number(text);
  const std::size_t node = asked ? static_cast<std::size_t>(*asked) : cable->current;
  if (node >= cable->nodes.size()) return -EINVAL;
  print(reply, "WireFilter: bidirectional");
  if (cable->nodes.size() > 1) {
    print(reply, "Node %zu \"%s\" (0,..,%zu) Markov-time %g", node, cable->nodes[node].name.c_str(),
          cable->nodes.size() - 1, static_cast<double>(cable->markov_ms));
  }
  const auto row = [&](const char* name, Parameter parameter) {
    const auto& pair = cable->nodes[node].values[parameter];
    print(reply, "%-6s L->R %g+%g%c   R->L %g+%g%c", name, pair[0].mean, pair[0].plus,
          pair[0].normal ? 'N' : 'U', pair[1].mean, pair[1].plus, pair[1].normal ? 'N' : 'U');
  };
  row("Loss", kLoss);
  row("Lburst", kLostBurst);
  row("Delay", kDelay);
  row("Dup", kDup);
  row("Bandw", kBandwidth);
  row("Speed", kSpeed);
  row("Noise", kNoise);
  const auto& mtu = cable->nodes[node].values[kMtu];
  print(reply, "MTU    L->R %g     R->L %g   ", mtu[0].mean, mtu[1].mean);
  row("Cap.", kCapacity);
  print(reply, "Current Delay Queue size:   L->R %llu      R->L %llu   ",
        static_cast<unsigned long long>(cable->channels[0].queued_bytes),
        static_cast<unsigned long long>(cable->channels[1].queued_bytes));
  print(reply, "Fifoness %s", cable->fifo ? "TRUE" : "FALSE");
  print(reply, "Waiting packets in delay queues %zu", departures_.size());
  if (!cable->blink_socket.empty()) {
    const std::string id = cable->blink_id.empty() ? std::to_string(selected_) : cable->blink_id;
    print(reply, "Blink socket: %s", cable->blink_socket.c_str());
    print(reply, "Blink id:     %s ", id.c_str());
  }
  return 0;
}

// ---- Markov states ----

int Netem::numnodes(std::string_view text, lanyard_reply*) {
  Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  const std::optional<long> count = whole_number(text);
  if (!count || *count < 1 || *count > static_cast<long>(kNodesMax)) return -EINVAL;
  cable->nodes.resize(static_cast<std::size_t>(*count));
  for (Node& node : cable->nodes) {
    std::erase_if(node.edges, [&](const auto& edge) { return edge.first >= cable->nodes.size(); });
  }
  if (cable->current >= cable->nodes.size()) cable->current = 0;
  start_markov(static_cast<std::uint16_t>(selected_), *cable);
  return 0;
}

void Netem::start_markov(std::uint16_t port, Cable& cable) {
  host_->remove_timer(host_, cable.timer);
  cable.timer = 0;
  if (cable.nodes.size() < 2) return;
  MarkovTimer& timer = markov_timers_[port];
  timer = {this, port};
  const std::uint64_t period = cable.markov_ms * 1000000;
  cable.timer = host_->add_timer(
      host_, period, period,
      [](void* argument) {
        const auto* const one = static_cast<MarkovTimer*>(argument);
        one->netem->step_markov(one->port);
      },
      &timer);
}

void Netem::step_markov(std::uint16_t port) {
  const auto found = cables_.find(port);
  if (found == cables_.end()) return;
  Cable& cable = found->second;
  double drawn = random_.uniform() * 100;
  for (const auto& [to, weight] : cable.nodes[cable.current].edges) {
    if (to == cable.current) continue;
    if (drawn < weight) return enter(port, cable, to);
    drawn -= weight;
  }
}

void Netem::enter(std::uint16_t, Cable& cable, std::size_t node) {
  const std::size_t before = cable.current;
  cable.current = node;
  if (!debug_ || before == node) return;
  std::array<char, 256> line{};
  std::snprintf(line.data(), line.size(), "Node %zu \"%s\" -> %zu \"%s\"", before,
                cable.nodes[before].name.c_str(), node, cable.nodes[node].name.c_str());
  host_->tell(host_, category_, line.data());
}

int Netem::setnode(std::string_view text, lanyard_reply*) {
  Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  const std::optional<long> node = whole_number(text);
  if (!node || *node < 0 || static_cast<std::size_t>(*node) >= cable->nodes.size()) return -EINVAL;
  enter(static_cast<std::uint16_t>(selected_), *cable, static_cast<std::size_t>(*node));
  return 0;
}

int Netem::name(std::string_view text, lanyard_reply*) {
  Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  const std::size_t comma = text.find(',');
  const std::optional<long> node = whole_number(text.substr(0, comma));
  if (!node || *node < 0 || static_cast<std::size_t>(*node) >= cable->nodes.size() ||
      comma == std::string_view::npos) {
    return -EINVAL;
  }
  cable->nodes[static_cast<std::size_t>(*node)].name = text.substr(comma + 1, 64);
  return 0;
}

int Netem::markov_time(std::string_view text, lanyard_reply*) {
  Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  const std::optional<long> milliseconds = whole_number(text);
  if (!milliseconds || *milliseconds < 1 || *milliseconds > 3600000) return -EINVAL;
  cable->markov_ms = static_cast<std::uint64_t>(*milliseconds);
  start_markov(static_cast<std::uint16_t>(selected_), *cable);
  return 0;
}

int Netem::setedge(std::string_view text, lanyard_reply*) {
  Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  const std::vector<std::string_view> parts = fields(text);
  if (parts.size() != 3) return -EINVAL;
  const std::optional<long> from = whole_number(parts[0]);
  const std::optional<long> to = whole_number(parts[1]);
  std::string_view rest = parts[2];
  const std::optional<double> weight = take_number(rest);
  const auto exists = [&](const std::optional<long>& node) {
    return node && *node >= 0 && static_cast<std::size_t>(*node) < cable->nodes.size();
  };
  if (!exists(from) || !exists(to) || !weight || !rest.empty() || *weight < 0) return -EINVAL;
  std::map<std::size_t, double> edges = cable->nodes[static_cast<std::size_t>(*from)].edges;
  edges[static_cast<std::size_t>(*to)] = *weight;
  double sum = 0;
  for (const auto& [node, each] : edges) {
    sum += node == static_cast<std::size_t>(*from) ? 0 : each;
  }
  if (sum > 100) return -EINVAL;
  cable->nodes[static_cast<std::size_t>(*from)].edges = std::move(edges);
  return 0;
}

int Netem::showedges(std::string_view text, lanyard_reply* reply) {
  const Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  const std::optional<long> asked = whole_number(text);
  const std::size_t from = asked ? static_cast<std::size_t>(*asked) : cable->current;
  if (from >= cable->nodes.size()) return -EINVAL;
  const Node& node = cable->nodes[from];
  double rest = 100;
  for (const auto& [to, weight] : node.edges) rest -= to == from ? 0 : weight;
  for (std::size_t to = 0; to < cable->nodes.size(); ++to) {
    const auto edge = node.edges.find(to);
    const double weight = to == from ? rest : edge != node.edges.end() ? edge->second : 0;
    if (weight == 0) continue;
    print(reply, "Edge %zu ->%zu  \"%s\"->\"%s\" weigth %g", from, to, node.name.c_str(),
          cable->nodes[to].name.c_str(), weight);
  }
  return 0;
}

int Netem::showcurrent(std::string_view, lanyard_reply* reply) {
  const Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  print(reply, "Current Markov Node %zu \"%s\" (0,..,%zu)", cable->current,
        cable->nodes[cable->current].name.c_str(), cable->nodes.size() - 1);
  return 0;
}

int Netem::markov_debug(std::string_view text, lanyard_reply*) {
  const std::optional<long> level = whole_number(text);
  if (!level) return -EINVAL;
  debug_ = *level > 0;
  return 0;
}

// ---- the lamp ----

int Netem::blink_socket(std::string_view text, lanyard_reply*) {
  Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  if (text.size() >= sizeof(sockaddr_un::sun_path)) return -ENAMETOOLONG;
  if (!text.empty() && blink_fd_ < 0) {
    blink_fd_ = ::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (blink_fd_ < 0) return -errno;
  }
  cable->blink_socket = text;
  return 0;
}

int Netem::blink_id(std::string_view text, lanyard_reply*) {
  Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  if (text.size() > kBlinkIdMax || text.find(' ') != std::string_view::npos) return -EINVAL;
  cable->blink_id = text;
  return 0;
}

// ---- files of words ----

// What stands in a file is not shown unless it begins with a word: whoever may load it need not be
// who may read it.
int Netem::load_line(const std::string& line, lanyard_reply* reply) {
  std::string_view text(line);
  if (text.starts_with("netem/")) text.remove_prefix(6);
  const std::string_view path = text.substr(0, text.find_first_of(" \t"));
  text.remove_prefix(path.size());
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  const std::span<const Word> all = words();
  const auto word =
      std::find_if(all.begin(), all.end(), [&](const Word& one) { return path == one.path; });
  if (word == all.end()) return -ENOSYS;
  print(reply, " %s", line.c_str());
  return word->run(this, std::string(text).c_str(), reply);
}

int Netem::load(std::string_view text, lanyard_reply* reply) {
  if (loading_ == kLoadDepthMax) return -ELOOP;
  const std::string name(text);
  std::string content;
  if (const int error = read_small_file(name, content); error < 0) return error;
  ++loading_;
  std::istringstream lines(content);
  std::string line;
  for (int number = 1; std::getline(lines, line); ++number) {
    line.erase(0, line.find_first_not_of(" \t"));
    line.erase(line.find_last_not_of(" \t\r") + 1);
    if (line.empty() || line.starts_with('#')) continue;
    if (line == "logout") break;
    const int error = load_line(line, reply);
    print(reply, "%s:%d: %d %s", name.c_str(), number, 1000 + (error < 0 ? -error : 0),
          error < 0 ? std::strerror(-error) : "Success");
  }
  --loading_;
  return 0;
}

int Netem::help(std::string_view, lanyard_reply* reply) {
  print(reply, "COMMAND         HELP");
  print(reply, "------------    ------------");
  for (const Word& word : words()) {
    print(reply, "%-15s %-9s %s", word.path, word.synopsis, word.help);
  }
  return 0;
}

// wirefilter ends then, and its wire with it.
int Netem::shutdown(std::string_view, lanyard_reply*) {
  Cable* const cable = selected();
  if (cable == nullptr) return -ENXIO;
  cable->cut = true;
  return 0;
}

// ---- the words ----

template <Netem::Handler handler>
int Netem::run(void* self, const char* arguments, lanyard_reply* reply) {
  return (static_cast<Netem*>(self)->*handler)(arguments, reply);
}

// The first row that a line begins with runs: what begins with another word comes before it.
std::span<const Netem::Word> Netem::words() {
  static constexpr Word kWords[] = {
      {"cables", "", "list the ports with a bad cable", run<&Netem::list>, true},
      {"cable", "N", "give port N a bad cable; the words below are about it", run<&Netem::cable>},
      {"uncable", "N", "give port N a good cable again", run<&Netem::uncable>},
      {"seed", "N", "start the random numbers anew", run<&Netem::set_seed>},
      {"loss", "VALUE", "percent of frames lost", run<&Netem::set<kLoss>>},
      {"lostburst", "VALUE", "mean length of bursts of losses", run<&Netem::set<kLostBurst>>},
      {"delay", "VALUE", "delay in ms", run<&Netem::set<kDelay>>},
      {"dup", "VALUE", "percent of frames doubled", run<&Netem::set<kDup>>},
      {"bandwidth", "VALUE", "bytes/s on the cable", run<&Netem::set<kBandwidth>>},
      {"band", "VALUE", "the same", run<&Netem::set<kBandwidth>>},
      {"speed", "VALUE", "bytes/s of the sender's interface", run<&Netem::set<kSpeed>>},
      {"noise", "VALUE", "damaged bits per 2^20 bytes", run<&Netem::set<kNoise>>},
      {"mtu", "VALUE", "longest frame, in bytes; 0: any", run<&Netem::set<kMtu>>},
      {"chanbufsize", "VALUE", "bytes under way at most; 0: any", run<&Netem::set<kCapacity>>},
      {"capacity", "VALUE", "the same", run<&Netem::set<kCapacity>>},
      {"fifo", "0/1", "1=frames keep their order", run<&Netem::fifo>},
      {"showinfo", "[NODE]", "show the values", run<&Netem::showinfo>, true},
      {"markov-numnodes", "N", "Markov mode: number of states", run<&Netem::numnodes>},
      {"markov-setnode", "N", "Markov mode: set the current state", run<&Netem::setnode>},
      {"markov-name", "N,NAME", "Markov mode: name a state", run<&Netem::name>},
      {"markov-time", "MS", "Markov mode: time between changes", run<&Netem::markov_time>},
      {"setedge", "N,M,W", "Markov mode: percent of changes from N to M", run<&Netem::setedge>},
      {"showedges", "[N]", "Markov mode: show them", run<&Netem::showedges>, true},
      {"showcurrent", "", "Markov mode: show the current state", run<&Netem::showcurrent>, true},
      {"markov-debug", "N", "Markov mode: tell of changes", run<&Netem::markov_debug>},
      {"blinkid", "[NAME]", "what the cable is called there; else its port", run<&Netem::blink_id>},
      {"blink", "[SOCKET]", "a datagram to this socket for each frame", run<&Netem::blink_socket>},
      {"load", "FILE", "run the words of a file", run<&Netem::load>, true},
      {"help", "", "print a summary of these words", run<&Netem::help>, true},
      {"shutdown", "", "cut the cable, until netem/uncable", run<&Netem::shutdown>},
  };
  return kWords;
}

int Netem::add_words() {
  for (const Word& word : words()) {
    const std::string path = std::string("netem/") + word.path;
    lanyard_command row{};
    row.size = sizeof row;
    row.has_data = word.has_data ? 1 : 0;
    const bool shows = word.has_data && std::string_view(word.path) != "load";
    row.effect = shows ? LANYARD_SHOWS : LANYARD_ADDS;
    row.path = path.c_str();
    row.synopsis = word.synopsis;
    row.help = word.help;
    row.run = word.run;
    if (const int error = host_->add_command(host_, &row); error < 0) return error;
  }
  return 0;
}

}  // namespace netem
