// SPDX-License-Identifier: MIT
//
// netem: bad cables. Each port that has been given one (netem/cable N) loses, delays, doubles,
// damages and slows down frames as wirefilter does, with wirefilter's words and values; left to
// right is into the switch, right to left is out to the station.
//
// What makes it hard: every figure must come out as asked. So rates are kept by virtual clocks that
// never lose the remainder, a frame's time of departure is computed once, when it comes, and one
// timer stands for the earliest; nothing depends on when the timer is late.
#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <queue>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lanyard_plugin.h"
#include "plugins/netem_cable.h"

namespace {

using namespace netem;  // it is for this file

class Netem {
 public:
  explicit Netem(const lanyard_host* host) : host_(host), random_(seed()) {}
  int start();
  void stop();

 private:
  struct MarkovTimer {
    Netem* netem;
    std::uint16_t port;
  };

  static std::uint64_t seed() {
    timespec now{};
    clock_gettime(CLOCK_REALTIME, &now);
    return static_cast<std::uint64_t>(now.tv_sec) * 1000000007U +
           static_cast<std::uint64_t>(now.tv_nsec);
  }

  void frames(lanyard_batch* batch);
  void frame(Cable& cable, lanyard_batch* batch, std::uint32_t index, Time now);
  bool is_lost(Cable& cable, std::size_t side);
  std::size_t copies(const Cable& cable, std::size_t side);
  Time departure(Cable& cable, std::size_t side, std::uint32_t bytes, Time now);
  void damage(Cable& cable, std::size_t side, lanyard_batch* batch, std::uint32_t index);
  const Value& value(const Cable& cable, Parameter parameter, std::size_t side) const {
    return cable.nodes[cable.current].values[parameter][side];
  }
  double draw(const Cable& cable, Parameter parameter, std::size_t side) {
    return value(cable, parameter, side).draw(random_);
  }
  void enqueue(const Departure& departure);
  void arm();
  void depart();

  // Commands.
  using Handler = int (Netem::*)(std::string_view, lanyard_reply*);
  template <Handler handler>
  int add(const char* path, const char* synopsis, const char* help, bool data = false);
  template <Parameter parameter>
  int set(std::string_view text, lanyard_reply* reply);
  int cable(std::string_view text, lanyard_reply* reply);
  int uncable(std::string_view text, lanyard_reply* reply);
  int list(std::string_view text, lanyard_reply* reply);
  int set_seed(std::string_view text, lanyard_reply* reply);
  int fifo(std::string_view text, lanyard_reply* reply);
  int showinfo(std::string_view text, lanyard_reply* reply);
  int numnodes(std::string_view text, lanyard_reply* reply);
  int setnode(std::string_view text, lanyard_reply* reply);
  int name(std::string_view text, lanyard_reply* reply);
  int markov_time(std::string_view text, lanyard_reply* reply);
  int setedge(std::string_view text, lanyard_reply* reply);
  int showedges(std::string_view text, lanyard_reply* reply);
  int showcurrent(std::string_view text, lanyard_reply* reply);
  int markov_debug(std::string_view text, lanyard_reply* reply);

  Cable* selected() {
    if (selected_ < 0) return nullptr;
    const auto found = cables_.find(static_cast<std::uint16_t>(selected_));
    return found != cables_.end() ? &found->second : nullptr;
  }
  void print(lanyard_reply* reply, const char* format, ...) __attribute__((format(printf, 3, 4)));
  void start_markov(std::uint16_t port, Cable& cable);
  void step_markov(std::uint16_t port);
  void enter(std::uint16_t port, Cable& cable, std::size_t node);

  const lanyard_host* host_;
  Random random_;
  std::map<std::uint16_t, Cable> cables_;
  std::map<std::uint16_t, MarkovTimer> markov_timers_;
  int selected_ = -1;
  std::priority_queue<Departure, std::vector<Departure>, std::greater<>> departures_;
  std::uint64_t order_ = 0;
  std::uint64_t timer_ = 0;
  Time timer_at_ = 0;
  int category_ = -1;
  bool debug_ = false;
};

// ---- frames ----

void Netem::frames(lanyard_batch* batch) {
  const auto found = cables_.find(batch->port);
  if (found == cables_.end()) return;
  const Time now = host_->now_ns(host_);
  for (std::uint32_t i = 0; i < batch->count; ++i) frame(found->second, batch, i, now);
}

void Netem::frame(Cable& cable, lanyard_batch* batch, std::uint32_t index, Time now) {
  lanyard_frame* const frame = lanyard_frame_at(batch, index);
  const std::size_t side = batch->direction == LANYARD_INGRESS ? 0 : 1;
  Channel& channel = cable.channels[side];
  const std::uint32_t bytes = frame->length + (frame->tagged ? 4 : 0) + kStreamHeader;
  const double mtu = value(cable, kMtu, side).mean;
  // A large packet is as long as the segments it becomes.
  const std::uint32_t longest =
      frame->segmentation != LANYARD_WHOLE && frame->segment_size != 0
          ? std::min<std::uint32_t>(bytes, frame->header_size + frame->segment_size + kStreamHeader)
          : bytes;
  if ((mtu > 0 && longest > mtu) || is_lost(cable, side)) {
    ++channel.lost;
    frame->verdict = LANYARD_DROP;
    return;
  }
  const std::size_t count = copies(cable, side);
  damage(cable, side, batch, index);
  std::uint64_t original = 0;
  for (std::size_t i = 0; i < count; ++i) {
    const double capacity = draw(cable, kCapacity, side);
    if (capacity > 0 && static_cast<double>(channel.queued_bytes + bytes) > capacity) {
      ++channel.lost;
      if (i == 0 && original == 0) frame->verdict = LANYARD_DROP;
      break;
    }
    const Time leaves = departure(cable, side, bytes, now);
    const bool in_turn = !cable.fifo || channel.queued_bytes == 0;
    const bool at_once = leaves <= now && in_turn && count == 1;
    ++channel.passed;
    if (at_once) return;
    const std::uint64_t held =
        i == 0 ? host_->hold(host_, batch, index) : host_->copy(host_, original);
    if (held == 0) {
      ++channel.lost;
      if (i == 0) frame->verdict = LANYARD_DROP;
      break;
    }
    if (i == 0) original = held;
    channel.queued_bytes += bytes;
    enqueue({leaves, order_++, held, bytes, batch->port, static_cast<std::uint8_t>(side)});
  }
}

// Independently of each other, or in bursts (a two-state model): with the loss p and the mean
// length b of a burst, bad ends with 1/b and begins with p / (b (1 - p)).
bool Netem::is_lost(Cable& cable, std::size_t side) {
  const double loss = draw(cable, kLoss, side) / 100;
  const double burst = draw(cable, kLostBurst, side);
  Channel& channel = cable.channels[side];
  if (loss <= 0) {
    channel.bad = false;
    return false;
  }
  if (loss >= 1) return true;
  if (burst <= 0) return random_.uniform() < loss;
  const double change = channel.bad ? 1 / burst : loss / (burst * (1 - loss));
  if (random_.uniform() < change) channel.bad = !channel.bad;
  return channel.bad;
}

std::size_t Netem::copies(const Cable& cable, std::size_t side) {
  std::size_t count = 1;
  // Each copy may be doubled again; without an end if it always is.
  while (count < kCopiesMax && value(cable, kDup, side).mean > 0 &&
         random_.uniform() * 100 < draw(cable, kDup, side)) {
    ++count;
  }
  return count;
}

Time Netem::departure(Cable& cable, std::size_t side, std::uint32_t bytes, Time now) {
  Channel& channel = cable.channels[side];
  auto at = static_cast<double>(now);
  const double speed = draw(cable, kSpeed, side);
  const double bandwidth = draw(cable, kBandwidth, side);
  if (speed > 0) {
    channel.input_clock = std::max(channel.input_clock, at) + bytes * kSecond / speed;
    at = channel.input_clock;
  }
  if (bandwidth > 0) {
    channel.wire_clock = std::max(channel.wire_clock, at) + bytes * kSecond / bandwidth;
    at = channel.wire_clock;
  }
  const double delay_ms = draw(cable, kDelay, side);
  if (delay_ms > 0) at += delay_ms * 1e6;
  constexpr double kLongest = 3600 * kSecond;
  Time leaves = now;
  if (at > static_cast<double>(now)) {
    leaves = now + static_cast<Time>(std::min(at - static_cast<double>(now), kLongest) + 0.5);
  }
  if (cable.fifo) leaves = std::max(leaves, channel.last_out);
  channel.last_out = std::max(channel.last_out, leaves);
  return leaves;
}

void Netem::damage(Cable& cable, std::size_t side, lanyard_batch* batch, std::uint32_t index) {
  const double bits_in_a_megabyte = draw(cable, kNoise, side);
  if (bits_in_a_megabyte <= 0) return;
  const std::uint32_t length = lanyard_frame_at(batch, index)->length;
  const std::uint64_t flips = random_.poisson(bits_in_a_megabyte * length / (1024.0 * 1024));
  if (flips == 0 || length == 0 || host_->writable(host_, batch, index) < 0) return;
  std::uint8_t* const bytes = lanyard_frame_at(batch, index)->data;
  for (std::uint64_t i = 0; i < flips; ++i) {
    const std::uint64_t bit = random_.next() % (std::uint64_t{length} * 8);
    bytes[bit / 8] = static_cast<std::uint8_t>(bytes[bit / 8] ^ (1U << (bit % 8)));
  }
}

void Netem::enqueue(const Departure& departure) {
  departures_.push(departure);
  arm();
}

// The timer stands for the earliest departure.
void Netem::arm() {
  if (departures_.empty()) return;
  const Time at = departures_.top().at;
  if (timer_ != 0) {
    if (timer_at_ <= at) return;
    host_->remove_timer(host_, timer_);
  }
  const Time now = host_->now_ns(host_);
  timer_at_ = at;
  timer_ = host_->add_timer(
      host_, at > now ? at - now : 0, 0, [](void* self) { static_cast<Netem*>(self)->depart(); },
      this);
}

void Netem::depart() {
  timer_ = 0;
  const Time now = host_->now_ns(host_);
  while (!departures_.empty() && departures_.top().at <= now) {
    const Departure one = departures_.top();
    departures_.pop();
    if (const auto cable = cables_.find(one.port); cable != cables_.end()) {
      Channel& channel = cable->second.channels[one.side];
      channel.queued_bytes -= std::min<std::uint64_t>(channel.queued_bytes, one.bytes);
    }
    host_->release(host_, one.held, LANYARD_PASS);
  }
  arm();
}

// ---- commands ----

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
    print(reply, "Node %zu \"%s\" (0,..,%zu) Markov-time %llu", node,
          cable->nodes[node].name.c_str(), cable->nodes.size() - 1,
          static_cast<unsigned long long>(cable->markov_ms));
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
  print(reply, "MTU    L->R %-5g R->L %-5g", mtu[0].mean, mtu[1].mean);
  row("Cap.", kCapacity);
  print(reply, "Current Delay Queue size:   L->R %-5llu  R->L %-5llu",
        static_cast<unsigned long long>(cable->channels[0].queued_bytes),
        static_cast<unsigned long long>(cable->channels[1].queued_bytes));
  print(reply, "Fifoness %s", cable->fifo ? "TRUE" : "FALSE");
  print(reply, "Waiting packets in delay queues %zu", departures_.size());
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

// ---- the plugin ----

template <Netem::Handler handler>
int Netem::add(const char* path, const char* synopsis, const char* help, bool data) {
  lanyard_command row{};
  row.size = sizeof row;
  row.has_data = data ? 1 : 0;
  row.path = path;
  row.synopsis = synopsis;
  row.help = help;
  row.run = [](void* self, const char* arguments, lanyard_reply* reply) {
    return (static_cast<Netem*>(self)->*handler)(arguments, reply);
  };
  return host_->add_command(host_, &row);
}

int Netem::start() {
  lanyard_filter filter{};
  filter.size = sizeof filter;
  filter.directions = LANYARD_INGRESS | LANYARD_EGRESS;
  filter.priority = 100;  // the cable is outside of all else
  filter.frames = [](void* self, lanyard_batch* batch) {
    static_cast<Netem*>(self)->frames(batch);
  };
  if (const int error = host_->add_filter(host_, &filter); error < 0) return error;
  lanyard_category category{};
  category.size = sizeof category;
  category.tag = 0401;
  category.path = "netem/markov";
  category.help = "netem: Markov state change (with netem/markov-debug 1)";
  category_ = host_->add_category(host_, &category);
  add<&Netem::list>("netem/cables", "", "list the ports with a bad cable", true);
  add<&Netem::cable>("netem/cable", "N", "give port N a bad cable; the words below are about it");
  add<&Netem::uncable>("netem/uncable", "N", "give port N a good cable again");
  add<&Netem::set_seed>("netem/seed", "N", "start the random numbers anew");
  add<&Netem::set<kLoss>>("netem/loss", "VALUE", "percent of frames lost");
  add<&Netem::set<kLostBurst>>("netem/lostburst", "VALUE", "mean length of bursts of losses");
  add<&Netem::set<kDelay>>("netem/delay", "VALUE", "delay in ms");
  add<&Netem::set<kDup>>("netem/dup", "VALUE", "percent of frames doubled");
  add<&Netem::set<kBandwidth>>("netem/bandwidth", "VALUE", "bytes/s on the cable");
  add<&Netem::set<kBandwidth>>("netem/band", "VALUE", "the same");
  add<&Netem::set<kSpeed>>("netem/speed", "VALUE", "bytes/s of the sender's interface");
  add<&Netem::set<kNoise>>("netem/noise", "VALUE", "damaged bits per 2^20 bytes");
  add<&Netem::set<kMtu>>("netem/mtu", "VALUE", "longest frame, in bytes; 0: any");
  add<&Netem::set<kCapacity>>("netem/chanbufsize", "VALUE", "bytes under way at most; 0: any");
  add<&Netem::set<kCapacity>>("netem/capacity", "VALUE", "the same");
  add<&Netem::fifo>("netem/fifo", "0/1", "1=frames keep their order");
  add<&Netem::showinfo>("netem/showinfo", "[NODE]", "show the values", true);
  add<&Netem::numnodes>("netem/markov-numnodes", "N", "Markov mode: number of states");
  add<&Netem::setnode>("netem/markov-setnode", "N", "Markov mode: set the current state");
  add<&Netem::name>("netem/markov-name", "N,NAME", "Markov mode: name a state");
  add<&Netem::markov_time>("netem/markov-time", "MS", "Markov mode: time between changes");
  add<&Netem::setedge>("netem/setedge", "N,M,W", "Markov mode: percent of changes from N to M");
  add<&Netem::showedges>("netem/showedges", "[N]", "Markov mode: show them", true);
  add<&Netem::showcurrent>("netem/showcurrent", "", "Markov mode: show the current state", true);
  return add<&Netem::markov_debug>("netem/markov-debug", "N", "Markov mode: tell of changes");
}

// What is under way arrives now.
void Netem::stop() {
  while (!departures_.empty()) {
    host_->release(host_, departures_.top().held, LANYARD_PASS);
    departures_.pop();
  }
}

int start_plugin(const lanyard_host* host, void** self) {
  auto netem = std::make_unique<Netem>(host);
  if (const int error = netem->start(); error < 0) return error;
  *self = netem.release();
  return 0;
}

void stop_plugin(void* self) {
  const std::unique_ptr<Netem> netem(static_cast<Netem*>(self));
  netem->stop();
}

}  // namespace

LANYARD_PLUGIN("netem", "bad cables, with wirefilter's words", start_plugin, stop_plugin);
