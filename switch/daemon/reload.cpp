// SPDX-License-Identifier: MIT
#include "switch/daemon/reload.h"

#include <algorithm>
#include <utility>

namespace lanyard {

namespace {

// Until what must not fail is tried again.
constexpr Duration kMemoryPause = std::chrono::milliseconds(10);

}  // namespace

class Reload::Gather {
 public:
  Gather(std::weak_ptr<Reload> reload, Step next) : reload_(std::move(reload)), next_(next) {}
  Gather(const Gather&) = delete;
  Gather& operator=(const Gather&) = delete;
  ~Gather() {
    const std::shared_ptr<Reload> reload = reload_.lock();
    // Not from within the callback of a gateway that the next step may end.
    if (reload != nullptr && reload->phase_ == Phase::forward) reload->next(next_);
  }
  void note(const Result<void>& result) {
    const std::shared_ptr<Reload> reload = reload_.lock();
    if (result || reload == nullptr || reload->failure_) return;
    // That it has failed must be known even if there is no memory for why.
    reload->failure_ = std::move(reload->no_memory_);
    *reload->failure_ = result.error();
  }

 private:
  std::weak_ptr<Reload> reload_;
  Step next_;
};

Reload::Reload(Networks& networks, NetworkEnvironment& environment,
               std::vector<NetworkConfig> wanted, Done done)
    : networks_(networks),
      environment_(environment),
      wanted_(std::move(wanted)),
      done_(std::move(done)) {
  std::vector<NetworkConfig> before;
  for (const auto& [name, network] : networks_) before.push_back(network->config());
  plan_ = plan_reload(before, wanted_);
  timer_ = environment_.loop.prepare([this] { take_step(); });
}

// ---- from one step to the next ----

void Reload::next(Step step, Duration pause) {
  step_ = step;
  timer_.hurry(pause);
}

void Reload::take_step() {
  if (step_ == nullptr) return;
  const std::shared_ptr<Reload> alive = shared_from_this();
  if (phase_ == Phase::forward && failure_) return fail({});
  taken_ = std::exchange(step_, nullptr);
  if (environment_.loop.run([this] { (this->*taken_)(); })) return;
  if (phase_ == Phase::forward) return fail(std::move(no_memory_));
  if (phase_ != Phase::over) next(taken_, kMemoryPause);
}

// The first failure is the one that counts.
void Reload::fail(Error why) {
  if (!failure_) failure_ = std::move(why);
  phase_ = Phase::going_back;
  next(&Reload::roll_back);
}

std::shared_ptr<Reload::Gather> Reload::gather(Step then) {
  return std::make_shared<Gather>(weak_from_this(), then);
}

void Reload::end(const Result<void>& result) {
  phase_ = Phase::over;
  environment_.loop.run([&] { done_(result); });
}

// ---- forward ----

void Reload::start() {
  next(&Reload::begin);
}

void Reload::begin() {
  for (const std::string& name : plan_.changed) {
    if (Result<void> fits = networks_.at(name)->check_ports(wanted(name)); !fits) {
      return fail(fits.error());
    }
  }
  next(&Reload::open);
}

Network& Reload::network_of(const std::string& name) {
  const auto added = added_.find(name);
  return added != added_.end() ? *added->second : *networks_.at(name);
}

void Reload::open() {
  if (Result<void> made = make_new(); !made) return fail(made.error());
  next(&Reload::open_all);
}

void Reload::open_all() {
  if (Result<void> possible = rehearse(); !possible) return fail(possible.error());
  if (Result<void> opened = open_places(plan_.open); !opened) return fail(opened.error());
  next(&Reload::release);
}

Result<void> Reload::make_new() {
  for (const std::string& name : plan_.added) {
    auto network = std::make_unique<Network>(wanted(name), environment_);
    if (Result<void> made = network->make_vlans(); !made) return made;
    // Before anybody can plug in.
    if (Result<void> loaded = network->load_plugins(wanted(name)); !loaded) return loaded;
    added_.emplace(name, std::move(network));
  }
  return {};
}

// Of what moves, as much as can be tried while it is still in use.
Result<void> Reload::rehearse() {
  for (const std::string& name : plan_.changed) {
    Result<void> possible = network_of(name).rehearse_plugins(wanted(name));
    if (!possible) return possible;
  }
  for (const std::string& name : plan_.open_moved.hosts) {
    if (Result<void> free = environment_.spawner.check_host(wanted(name)); !free) return free;
  }
  for (const SocketStep& step : plan_.open_moved.sockets) {
    Result<void> possible = network_of(step.network).rehearse_socket(step.socket);
    if (!possible) return possible;
  }
  return {};
}

// What has been opened is noted without memory: nobody would close it otherwise.
Result<void> Reload::open_places(const Places& places) {
  Places noted = places;
  opened_.hosts.reserve(opened_.hosts.size() + places.hosts.size());
  opened_.sockets.reserve(opened_.sockets.size() + places.sockets.size());
  opened_.plugs.reserve(opened_.plugs.size() + places.plugs.size());
  for (std::string& name : noted.hosts) {
    if (Result<void> opened = network_of(name).open_host(wanted(name)); !opened) return opened;
    opened_.hosts.push_back(std::move(name));
  }
  for (SocketStep& step : noted.sockets) {
    Result<void> opened = network_of(step.network).open_socket(step.socket);
    if (!opened) return opened;
    opened_.sockets.push_back(std::move(step));
  }
  for (PlugStep& step : noted.plugs) {
    if (Result<void> opened = network_of(step.network).open_plug(step.url); !opened) return opened;
    opened_.plugs.push_back(std::move(step));
  }
  return {};
}

// Leaves the list empty, so that it can be done in several attempts.
void Reload::close(Places& places) {
  for (; !places.plugs.empty(); places.plugs.pop_back()) {
    network_of(places.plugs.back().network).close_plug(places.plugs.back().url);
  }
  for (; !places.sockets.empty(); places.sockets.pop_back()) {
    const SocketStep& step = places.sockets.back();
    network_of(step.network).close_socket(step.socket.path);
  }
  for (; !places.hosts.empty(); places.hosts.pop_back()) {
    network_of(places.hosts.back()).close_host();
  }
}

void Reload::release() {
  if (plan_.release.empty()) return configure();
  const std::shared_ptr<Gather> answers = gather(&Reload::configure);
  for (const NetworkConfig& kept : plan_.release) {
    told_gateways_.push_back(kept.name);
    networks_.at(kept.name)->configure_gateway(
        kept, [answers](const Result<void>& done) { answers->note(done); });
  }
}

void Reload::configure() {
  if (plan_.configure_gateways.empty() && plan_.start_gateways.empty() && added_.empty()) {
    return move();
  }
  const std::shared_ptr<Gather> answers = gather(&Reload::move);
  const auto note = [answers](const Result<void>& done) { answers->note(done); };
  for (const std::string& name : plan_.configure_gateways) {
    told_gateways_.push_back(name);
    networks_.at(name)->configure_gateway(wanted(name), note);
  }
  for (const std::string& name : plan_.start_gateways) {
    started_gateways_.push_back(name);
    networks_.at(name)->start_gateway_for(wanted(name), note);
  }
  for (const auto& [name, network] : added_) network->start_gateway(note);
}

void Reload::move() {
  if (plan_.close_moved.empty()) return exchange_plugins();
  Places moving = plan_.close_moved;
  Places back = plan_.close_moved;
  moving_ = std::move(moving);
  to_reopen_ = std::move(back);
  close(moving_);
  // Plugs are gone at the end of the round only, and their names with them.
  next(&Reload::open_moved);
}

void Reload::open_moved() {
  if (Result<void> opened = open_places(plan_.open_moved); !opened) return fail(opened.error());
  exchange_plugins();
}

// Frames do not move before the commit, so they never pass by a plugin that goes and comes.
void Reload::exchange_plugins() {
  exchanging_ = true;
  for (const std::string& name : plan_.changed) {
    Result<void> loaded = networks_.at(name)->load_plugins(wanted(name));
    if (!loaded) return fail(loaded.error());
  }
  commit();
}

// ---- to the end: these steps are taken again if there was no memory for all of one ----

void Reload::commit() {
  phase_ = Phase::committing;
  taken_ = &Reload::commit;
  close(plan_.close);
  for (const std::string& name : plan_.end_gateways) networks_.at(name)->end_gateway();
  for (const std::string& name : plan_.changed) networks_.at(name)->adopt(wanted(name));
  const auto tell = [this](std::string_view kind, const std::string& name) {
    environment_.loop.run([&] { environment_.publish(kind, {{"network", name}}); });
  };
  removed_.reserve(removed_.size() + plan_.removed.size());
  for (; !plan_.removed.empty(); plan_.removed.pop_back()) {
    const std::string& name = plan_.removed.back();
    removed_.push_back(std::move(networks_.extract(name).mapped()));
    tell("network.down", name);
  }
  while (!added_.empty()) {
    const auto added = networks_.insert(added_.extract(added_.begin())).position;
    tell("network.up", added->first);
  }
  next(&Reload::finish);
}

void Reload::finish() {
  removed_.clear();
  end({});
}

void Reload::roll_back() {
  const auto note = [&log = environment_.log](const Result<void>& back) {
    if (!back) log.error("going back after a failed reload: {}", back.error().text);
  };
  for (const std::string& name : plan_.changed) {
    if (!exchanging_) break;
    Network& network = *networks_.at(name);
    note(network.load_plugins(network.config()));
  }
  close(opened_);
  close(moving_);
  added_.clear();
  for (const std::string& name : started_gateways_) networks_.at(name)->end_gateway();
  std::sort(told_gateways_.begin(), told_gateways_.end());
  told_gateways_.erase(std::unique(told_gateways_.begin(), told_gateways_.end()),
                       told_gateways_.end());
  // Those that refused kept what they had; to be told that again does no harm.
  for (; !told_gateways_.empty(); told_gateways_.pop_back()) {
    Network& network = *networks_.at(told_gateways_.back());
    network.configure_gateway(network.config(), note);
  }
  if (to_reopen_.empty()) return end(*failure_);
  next(&Reload::reopen);
}

void Reload::reopen() {
  const auto note = [this](const Result<void>& back) {
    if (!back) environment_.log.error("going back after a failed reload: {}", back.error().text);
  };
  for (; !to_reopen_.sockets.empty(); to_reopen_.sockets.pop_back()) {
    const SocketStep& step = to_reopen_.sockets.back();
    note(networks_.at(step.network)->open_socket(step.socket));
  }
  for (; !to_reopen_.hosts.empty(); to_reopen_.hosts.pop_back()) {
    Network& network = *networks_.at(to_reopen_.hosts.back());
    note(network.open_host(network.config()));
  }
  for (; !to_reopen_.plugs.empty(); to_reopen_.plugs.pop_back()) {
    const PlugStep& step = to_reopen_.plugs.back();
    note(networks_.at(step.network)->open_plug(step.url));
  }
  end(*failure_);
}

}  // namespace lanyard
