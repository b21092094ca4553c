// SPDX-License-Identifier: MIT
//
// The plugin netem: the cables that are bad, the frames that are under way on them, and the words
// that say what they are like. Runs in the thread that moves the frames.
#pragma once

#include <cstddef>
#include <cstdint>
#include <ctime>
#include <functional>
#include <map>
#include <queue>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "plugins/lanyard_plugin.h"
#include "plugins/netem_cable.h"

namespace netem {

class Netem {
 public:
  explicit Netem(const lanyard_host* host) : host_(host), random_(seed()) {}
  ~Netem();
  Netem(const Netem&) = delete;
  Netem& operator=(const Netem&) = delete;
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

  void blink(const Cable& cable, std::uint16_t port, std::size_t side, std::uint32_t bytes);

  // ---- words (netem_words.cpp) ----
  using Handler = int (Netem::*)(std::string_view, lanyard_reply*);
  struct Word;
  static std::span<const Word> words();
  template <Handler handler>
  static int run(void* self, const char* arguments, lanyard_reply* reply);
  int add_words();
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
  int blink_socket(std::string_view text, lanyard_reply* reply);
  int blink_id(std::string_view text, lanyard_reply* reply);
  int load(std::string_view text, lanyard_reply* reply);
  int load_line(const std::string& line, lanyard_reply* reply);
  int help(std::string_view text, lanyard_reply* reply);
  int shutdown(std::string_view text, lanyard_reply* reply);

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
  int loading_ = 0;  // files, one from within the other
  int blink_fd_ = -1;
};

}  // namespace netem
