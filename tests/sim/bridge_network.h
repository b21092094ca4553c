// SPDX-License-Identifier: MIT
//
// Bridges that run the spanning tree engine, joined by cables, in virtual time.
//
// Every message takes a while of its own to arrive, both ends of a cable notice its loss at
// different moments, and no two bridges tick together. After each event that could let a frame go
// where none went before, a broadcast is sent from every bridge and its copies are counted: a
// bridge that gets a second one has found a loop, and when and where is kept.
#pragma once

#include <memory>
#include <queue>
#include <string>
#include <vector>

#include "switch/bridge/rstp.h"
#include "tests/support/random.h"

namespace lanyard::testing {

class BridgeNetwork {
 public:
  struct BridgeSettings {
    std::uint16_t priority = 0x8000;
    unsigned max_age_s = 20;
    unsigned forward_delay_s = 15;
    bool old_protocol = false;  // knows 802.1D-1998 alone
  };
  struct Cable {
    struct End {
      std::size_t bridge;
      PortId port;
    };
    End ends[2];
    bool up = false;
    std::uint32_t costs[2] = {Rstp::kDefaultPathCost, Rstp::kDefaultPathCost};  // to either end
  };

  explicit BridgeNetwork(Random& random) : random_(random) {}

  std::size_t add_bridge(const BridgeSettings& settings);
  std::size_t add_cable(std::size_t a, std::size_t b, std::uint32_t cost = Rstp::kDefaultPathCost) {
    return add_cable(a, b, cost, cost);
  }
  std::size_t add_cable(std::size_t a, std::size_t b, std::uint32_t cost_a, std::uint32_t cost_b);
  // The ends are told within 10 ms, each at its own time.
  void set_cable(std::size_t cable, bool up);
  void set_alive(std::size_t bridge, bool alive);  // all its cables, and what it knew
  bool is_alive(std::size_t bridge) const { return bridges_[bridge]->alive; }

  void run(Duration time) { run_until(now_ + time); }
  // Runs until the network is one correct tree for every part of it; nullopt: not within `most`.
  std::optional<Duration> converge(Duration most);
  // "" when it is; otherwise what is wrong.
  std::string flaw() const;
  // "" while no frame has circulated.
  const std::string& loop() const { return loop_; }

  Time now() const { return now_; }
  std::size_t bridges() const { return bridges_.size(); }
  std::size_t cables() const { return cables_.size(); }
  const Cable& cable(std::size_t index) const { return cables_[index]; }
  const Rstp& engine(std::size_t bridge) const { return *bridges_[bridge]->engine; }
  Rstp& engine(std::size_t bridge) { return *bridges_[bridge]->engine; }
  bool carries(std::size_t cable) const;  // frames, in both directions
  std::size_t messages() const { return messages_; }
  std::size_t floods() const { return floods_; }
  std::string describe() const;

 private:
  struct Bridge final : RstpActions {
    BridgeNetwork* network = nullptr;
    std::size_t index = 0;
    RstpSettings settings;
    std::unique_ptr<Rstp> engine;
    bool alive = true;
    std::vector<std::size_t> cable_of;  // by port; port 0 is none
    std::vector<PortState> states;      // by port
    std::vector<Time> last_arrival;     // by port: of what was sent there; order is kept

    void send_bpdu(PortId port, const Bpdu& bpdu) override;
    void set_state(PortId port, PortState state) override;
    void flush(PortId) override {}
  };
  struct Event {
    enum class Kind { tick, message, link };
    Time at;
    std::uint64_t order;
    Kind kind;
    std::size_t bridge;
    PortId port = 0;
    bool up = false;
    std::uint64_t generation = 0;  // of the cable: a cut loses what is on it
    Bpdu bpdu;

    bool operator<(const Event& other) const {  // the queue's top is its greatest
      return at != other.at ? at > other.at : order > other.order;
    }
  };

  void run_until(Time end);
  void handle(const Event& event);
  void post(Event event);
  void start_engine(Bridge& bridge);
  std::uint32_t cost_at(const Bridge& bridge, PortId port) const;
  void tell_end(const Cable::End& end, bool up);
  void count_frames();
  bool flood_from(std::size_t bridge, std::vector<unsigned>& copies);
  std::string flaw_of_part(const std::vector<std::size_t>& part) const;
  std::vector<std::vector<std::size_t>> parts() const;
  std::vector<std::uint64_t> distances_from(std::size_t root) const;
  Duration between(Duration low, Duration high) {
    return low + Duration(static_cast<Duration::rep>(
                     random_.below(static_cast<std::uint64_t>((high - low).count()))));
  }

  Random& random_;
  Time now_ = std::chrono::seconds(1000);
  std::uint64_t order_ = 0;
  std::vector<std::unique_ptr<Bridge>> bridges_;
  std::vector<Cable> cables_;
  std::vector<std::uint64_t> generations_;
  std::priority_queue<Event> events_;
  bool opened_ = false;  // something forwards that did not
  std::string loop_;
  std::size_t messages_ = 0;
  std::size_t floods_ = 0;
};

}  // namespace lanyard::testing
