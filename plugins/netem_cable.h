// SPDX-License-Identifier: MIT
//
// What a bad cable is: its values as wirefilter writes them, its states, and what each direction
// remembers from frame to frame. Values; nothing here knows a switch.
#pragma once

#include <array>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace netem {

constexpr std::size_t kDirections = 2;  // left to right, right to left
constexpr std::size_t kNodesMax = 1024;
constexpr std::size_t kCopiesMax = 64;
constexpr double kSecond = 1e9;
// wirefilter counts the two bytes of length that go before a frame in a stream.
constexpr std::uint32_t kStreamHeader = 2;

using Time = std::uint64_t;  // nanoseconds

// A 64-bit random generator (SplitMix64): small, fast, and the same on every machine.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
  }
  // In [0, 1).
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  double normal() {
    const double radius = std::sqrt(-2 * std::log(1 - uniform()));
    return radius * std::cos(2 * 3.14159265358979323846 * uniform());
  }
  std::uint64_t poisson(double mean) {
    if (mean <= 0) return 0;
    if (mean > 500) {
      const double drawn = mean + std::sqrt(mean) * normal();
      return drawn > 0 ? static_cast<std::uint64_t>(drawn + 0.5) : 0;
    }
    const double limit = std::exp(-mean);
    std::uint64_t count = 0;
    for (double product = uniform(); product > limit; product *= uniform()) ++count;
    return count;
  }

 private:
  std::uint64_t state_;
};

// NUM, or NUM and a random part, drawn anew for every frame.
struct Value {
  double mean = 0;
  double plus = 0;
  bool normal = false;

  double draw(Random& random) const {
    if (plus == 0) return mean;
    if (normal) return mean + random.normal() * plus / 3;
    return mean + (2 * random.uniform() - 1) * plus;
  }
};

enum Parameter { kLoss, kLostBurst, kDelay, kDup, kBandwidth, kSpeed, kNoise, kMtu, kCapacity };
constexpr std::size_t kParameters = 9;

struct Node {
  std::string name;
  std::array<std::array<Value, kDirections>, kParameters> values{};
  std::map<std::size_t, double> edges;  // to, percent; the rest stays
};

// "[LR|RL]NUM[+PLUS][kKmMgG][uUnN][ '[' NODE ']' ]"
struct Setting {
  bool in_direction[kDirections] = {true, true};
  Value value;
  std::size_t node = 0;
};

inline double unit_factor(char letter) {
  switch (letter) {
    case 'k':
    case 'K': return 1024;
    case 'm':
    case 'M': return 1024.0 * 1024;
    case 'g':
    case 'G': return 1024.0 * 1024 * 1024;
    default: return 0;
  }
}

inline std::optional<double> take_number(std::string_view& text) {
  const std::string copy(text.substr(0, 64));
  char* end = nullptr;
  const double number = std::strtod(copy.c_str(), &end);
  if (end == copy.c_str() || !std::isfinite(number)) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(end - copy.c_str()));
  return number;
}

inline std::optional<Setting> parse_setting(std::string_view text) {
  Setting setting;
  if (text.starts_with("LR") || text.starts_with("RL")) {
    setting.in_direction[text.starts_with("LR") ? 1 : 0] = false;
    text.remove_prefix(2);
  }
  const std::optional<double> mean = take_number(text);
  if (!mean || *mean < 0) return std::nullopt;
  setting.value.mean = *mean;
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    const std::optional<double> plus = take_number(text);
    if (!plus || *plus < 0) return std::nullopt;
    setting.value.plus = *plus;
  }
  if (!text.empty() && unit_factor(text.front()) != 0) {
    setting.value.mean *= unit_factor(text.front());
    setting.value.plus *= unit_factor(text.front());
    text.remove_prefix(1);
  }
  if (!text.empty() && std::strchr("uUnN", text.front()) != nullptr) {
    setting.value.normal = text.front() == 'n' || text.front() == 'N';
    text.remove_prefix(1);
  }
  if (text.starts_with('[')) {
    text.remove_prefix(1);
    const std::optional<double> node = take_number(text);
    if (!node || *node < 0 || *node >= kNodesMax || text != "]") return std::nullopt;
    setting.node = static_cast<std::size_t>(*node);
    text = {};
  }
  return text.empty() ? std::optional(setting) : std::nullopt;
}

inline std::optional<long> whole_number(std::string_view text) {
  const std::string copy(text);
  char* end = nullptr;
  errno = 0;
  const long number = std::strtol(copy.c_str(), &end, 10);
  if (copy.empty() || *end != '\0' || errno != 0) return std::nullopt;
  return number;
}

// "a,b,c"
inline std::vector<std::string_view> fields(std::string_view text) {
  std::vector<std::string_view> parts;
  for (;;) {
    const std::size_t comma = text.find(',');
    parts.push_back(text.substr(0, comma));
    if (comma == std::string_view::npos) return parts;
    text.remove_prefix(comma + 1);
  }
}

// ---- one cable ----

// One direction of a cable: what it remembers from frame to frame.
struct Channel {
  bool bad = false;        // in a burst of losses
  double input_clock = 0;  // when the sender's interface is free; nanoseconds
  double wire_clock = 0;   // when the wire is free
  Time last_out = 0;       // the latest departure, for order
  std::uint64_t queued_bytes = 0;
  std::uint64_t lost = 0;
  std::uint64_t passed = 0;
};

struct Cable {
  std::vector<Node> nodes{1};
  std::size_t current = 0;
  bool fifo = true;
  bool cut = false;
  std::string blink_socket;  // empty: none
  std::string blink_id;
  std::uint64_t markov_ms = 100;
  std::uint64_t timer = 0;
  std::array<Channel, kDirections> channels;
};

// A held frame and when it leaves.
struct Departure {
  Time at;
  std::uint64_t order;
  std::uint64_t held;
  std::uint32_t bytes;
  std::uint16_t port;
  std::uint8_t side;
  bool operator>(const Departure& other) const {
    return at != other.at ? at > other.at : order > other.order;
  }
};

}  // namespace netem
