// SPDX-License-Identifier: MIT
//
// Load generator for anything that speaks the VDE switch protocol. Each client is a process of its
// own, because that is what VMs are: a shared descriptor table or address space would flatter all
// switches alike and hide wake-up costs.
//
//   bench_vde_load stream --sock DIR     one client sends, the others count
//       --size 64 --seconds 3 --warmup 0.3
//       --macs 1         source addresses, in turn
//       --batch 1        frames for each call: 1 is send(), as libvdeplug does; more is sendmmsg
//       --rate 0         frames/s; 0 is as fast as the blocking socket allows
//       --burst 1        paced frames leave in bursts of this many
//       --receivers 1 --broadcast 0
//       --first 0        number of the client that sends, for more than one such run at a time
//       --receive many   how receivers take frames: many (recvmmsg), one (recv), poll (poll, recv)
//   bench_vde_load pingpong --sock DIR   round trips; --size, --seconds, --warmup
//   bench_vde_load oneway --sock DIR     the way through the switch alone: one process sends, then
//                                        looks for what it sent without sleep; the same options
//       --pause 0        microseconds before each trip in which nothing is sent
//   bench_vde_load hold --sock DIR       plug --receivers clients, say "ready", leave with stdin
//   bench_vde_load start --sock DIR -- PROGRAM ARGUMENTS
//                                        from fork to the first handshake reply
//   all: --pid SWITCH (whose CPU time to take), --pin CPU,CPU (the sender's, the others')
//
// Prints one JSON object.

#include <poll.h>
#include <sched.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <map>
#include <thread>
#include <vector>

#include "measure.h"
#include "receiver.h"

namespace {

using namespace lanyard::bench;
using Clock = std::chrono::steady_clock;
using Seconds = std::chrono::duration<double>;

struct Options {
  std::string mode;
  std::string sock;
  std::size_t size = 64;
  double seconds = 3;
  double warmup = 0.3;
  std::uint32_t macs = 1;
  std::size_t batch = 1;
  double rate = 0;
  std::uint32_t burst = 1;
  int receivers = 1;
  int first = 0;
  bool broadcast = false;
  std::string receive = "many";
  double pause_us = 0;
  pid_t pid = 0;
  std::vector<int> cpus;
  std::vector<char*> program;
};

void pin_to(const Options& options, std::size_t index) {
  if (options.cpus.empty()) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET(static_cast<std::size_t>(options.cpus[index % options.cpus.size()]), &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) fail("sched_setaffinity");
}

// --- clients ---

// A table-filling order: neighbours in time are not neighbours in the number.
std::uint32_t station_at(std::uint64_t sequence, std::uint32_t macs) {
  return static_cast<std::uint32_t>((sequence * 40503) % macs);
}

// Sends until told to stop; how many frames went is in `shared`.
class Sender {
 public:
  Sender(const Options& options, int fd, const TestFrame& prototype, Shared& shared)
      : options_(options),
        fd_(fd),
        frames_(options.batch, prototype),
        vectors_(options.batch),
        messages_(options.batch),
        shared_(shared) {
    for (std::size_t i = 0; i < options.batch; ++i) {
      vectors_[i] = {frames_[i].data(), frames_[i].size()};
      messages_[i].msg_hdr.msg_iov = &vectors_[i];
      messages_[i].msg_hdr.msg_iovlen = 1;
    }
  }

  void run() {
    const Clock::time_point start = Clock::now();
    while (!shared_.stop.load(std::memory_order_relaxed)) {
      if (options_.rate > 0 && sequence_ % options_.burst == 0) {
        const Seconds due(static_cast<double>(sequence_) / options_.rate);
        std::this_thread::sleep_until(start + std::chrono::duration_cast<Clock::duration>(due));
      }
      if (!send_some()) break;
    }
    shared_.sender_failed = !shared_.stop;
  }

 private:
  bool send_some() {
    for (TestFrame& frame : frames_) {
      if (options_.macs > 1) frame.set_station(station_at(sequence_, options_.macs));
      frame.set_sequence(sequence_++);
    }
    if (options_.batch == 1) {
      if (::send(fd_, frames_[0].data(), frames_[0].size(), 0) < 0) return false;
      bump(shared_.sent, std::uint64_t{1});
      return true;
    }
    for (std::size_t done = 0; done < options_.batch;) {
      const int count =
          sendmmsg(fd_, messages_.data() + done, static_cast<unsigned>(options_.batch - done), 0);
      if (count <= 0) return false;
      done += static_cast<std::size_t>(count);
      bump(shared_.sent, static_cast<std::uint64_t>(count));
    }
    return true;
  }

  const Options& options_;
  int fd_;
  std::vector<TestFrame> frames_;
  std::vector<iovec> vectors_;
  std::vector<mmsghdr> messages_;
  Shared& shared_;
  std::uint64_t sequence_ = 0;
};

// The switch must know where the receiver is, else the first frames are flooded. A frame that has
// come through proves it.
void make_known(const VdeClient& receiver, const VdeClient& sender, int sender_number) {
  TestFrame hello =
      TestFrame::hello(TestFrame::mac_of(sender_number), TestFrame::mac_of(sender_number + 1));
  for (int attempt = 0; attempt < 50; ++attempt) {
    if (::send(receiver.data.get(), hello.data(), hello.size(), 0) < 0) fail("send hello");
    pollfd ready = {sender.data.get(), POLLIN, 0};
    if (poll(&ready, 1, 100) == 1) {
      char buffer[2048];
      while (recv(sender.data.get(), buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
      }
      return;
    }
  }
  throw std::runtime_error("no frame comes through the switch");
}

void discard_pending(const VdeClient& client) {
  char buffer[2048];
  while (recv(client.data.get(), buffer, sizeof buffer, MSG_DONTWAIT) > 0) {
  }
}

// --- modes ---

struct Sample {
  Clock::time_point when;
  double switch_cpu, switch_waiting, switch_sleeps, sender_cpu, receiver_cpu, receiver_waiting;
  std::uint64_t sent, received, calls;
};

class StreamRun {
 public:
  explicit StreamRun(const Options& options)
      : options_(options), shared_(make_shared_counts()), cpu_(options.pid) {}

  void run() {
    plug();
    start_receivers();
    const TestFrame prototype(
        options_.size,
        options_.broadcast ? TestFrame::kBroadcast : TestFrame::mac_of(options_.first + 1),
        TestFrame::mac_of(options_.first));
    const int fd = clients_[0].data.get();
    Child sender([&] {
      pin_to(options_, 0);
      Sender(options_, fd, prototype, shared_).run();
    });
    const Clock::time_point start = Clock::now();
    std::this_thread::sleep_until(
        start + std::chrono::duration_cast<Clock::duration>(Seconds(options_.warmup)));
    const Sample first = sample(sender);
    std::this_thread::sleep_until(
        first.when + std::chrono::duration_cast<Clock::duration>(Seconds(options_.seconds)));
    const Sample last = sample(sender);
    shared_.stop = true;
    drain();
    if (shared_.sender_failed) throw std::runtime_error("the sender's socket failed");
    report(first, last);
  }

 private:
  void plug() {
    for (int i = 0; i <= options_.receivers; ++i)
      clients_.push_back(connect_client(options_.sock, i));
    make_known(clients_[1], clients_[0], options_.first);
    for (const VdeClient& client : clients_) discard_pending(client);
  }

  void start_receivers() {
    for (int i = 1; i <= options_.receivers; ++i) {
      children_.emplace_back([this, i] {
        pin_to(options_, 1);
        const int fd = clients_[static_cast<std::size_t>(i)].data.get();
        const Tally tally(options_.size, shared_.receivers[i - 1]);
        if (options_.receive == "many")
          receive_in_batches(fd, tally);
        else
          receive_singly(fd, tally, options_.receive == "poll");
      });
    }
  }

  std::uint64_t total(std::atomic<std::uint64_t> ReceiverCounts::*counter) const {
    std::uint64_t sum = 0;
    for (int i = 0; i < options_.receivers; ++i)
      sum += (shared_.receivers[i].*counter).load(std::memory_order_relaxed);
    return sum;
  }

  Sample sample(const Child& sender) const {
    double receivers = 0;
    double waiting = 0;
    for (const Child& child : children_) {
      receivers += child.cpu();
      waiting += child.waiting();
    }
    return {Clock::now(),
            cpu_.seconds(),
            cpu_.waiting(),
            cpu_.sleeps(),
            sender.cpu(),
            receivers,
            waiting,
            shared_.sent.load(),
            total(&ReceiverCounts::frames),
            total(&ReceiverCounts::calls)};
  }

  // Until everything sent has come, or nothing has come for a while: only then is what is missing
  // lost.
  void drain() const {
    const std::uint64_t copies = static_cast<std::uint64_t>(options_.receivers);
    std::uint64_t before = 0;
    for (int quiet = 0; quiet < 20;) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      const std::uint64_t now = total(&ReceiverCounts::frames);
      quiet = now == before ? quiet + 1 : 0;
      before = now;
      if (now >= shared_.sent.load() * copies && quiet > 1) return;
    }
  }

  void report(const Sample& first, const Sample& last) const {
    const double seconds = Seconds(last.when - first.when).count();
    const double delivered = static_cast<double>(last.received - first.received);
    const double sent = static_cast<double>(last.sent - first.sent);
    const double all_sent = static_cast<double>(shared_.sent.load()) * options_.receivers;
    const double all_received = static_cast<double>(total(&ReceiverCounts::frames));
    const auto per_frame = [](double cpu, double frames) {
      return frames > 0 ? cpu * 1e9 / frames : 0;
    };
    Json json;
    json.add("delivered_per_s", delivered / seconds);
    json.add("sent_per_s", sent / seconds);
    json.add("sent", all_sent);
    json.add("delivered", all_received);
    json.add("lost", all_sent - all_received);
    json.add("loss_percent", all_sent > 0 ? 100 * (all_sent - all_received) / all_sent : 0);
    json.add("reordered", static_cast<double>(total(&ReceiverCounts::reordered)));
    json.add("bad", static_cast<double>(total(&ReceiverCounts::bad)));
    json.add("switch_ns_per_frame", per_frame(last.switch_cpu - first.switch_cpu, delivered));
    json.add("switch_cpu_percent", 100 * (last.switch_cpu - first.switch_cpu) / seconds);
    json.add("switch_waiting_percent",
             100 * (last.switch_waiting - first.switch_waiting) / seconds);
    json.add("switch_sleeps_per_s", (last.switch_sleeps - first.switch_sleeps) / seconds);
    json.add("sender_ns_per_frame", per_frame(last.sender_cpu - first.sender_cpu, sent));
    json.add("sender_cpu_percent", 100 * (last.sender_cpu - first.sender_cpu) / seconds);
    json.add("receiver_ns_per_frame", per_frame(last.receiver_cpu - first.receiver_cpu, delivered));
    json.add("receiver_cpu_percent", 100 * (last.receiver_cpu - first.receiver_cpu) / seconds);
    // Neither running nor wanting to: a receiver that has some of this keeps up.
    const double busy =
        last.receiver_cpu - first.receiver_cpu + last.receiver_waiting - first.receiver_waiting;
    json.add("receiver_idle_percent", 100 - 100 * busy / (seconds * options_.receivers));
    json.add("frames_per_receive", last.calls > first.calls
                                       ? delivered / static_cast<double>(last.calls - first.calls)
                                       : 0);
    json.print();
  }

  const Options& options_;
  Shared& shared_;
  SwitchCpu cpu_;
  std::vector<VdeClient> clients_;
  std::vector<Child> children_;
};

void echo(int fd, std::size_t size) {
  TestFrame answer(size, TestFrame::mac_of(0), TestFrame::mac_of(1));
  char buffer[2048];
  while (recv(fd, buffer, sizeof buffer, 0) > 0) {
    answer.set_sequence(TestFrame::sequence_of(buffer));
    if (::send(fd, answer.data(), answer.size(), 0) < 0) return;
  }
}

// Two clients that know each other, and nothing on the way to them.
std::vector<VdeClient> pair_of_clients(const Options& options) {
  std::vector<VdeClient> clients;
  for (int i = 0; i < 2; ++i) clients.push_back(connect_client(options.sock, i));
  make_known(clients[1], clients[0], 0);
  for (const VdeClient& client : clients) discard_pending(client);
  return clients;
}

// Without sleep, so that the CPU of who measures is as awake at every pace.
void pause(double us) {
  const Clock::time_point end = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                                   std::chrono::duration<double, std::micro>(us));
  while (Clock::now() < end) {
  }
}

// Makes trips for as long as asked and prints how long they took. `crosses` is how many frames the
// switch carries for one.
void measure_trips(const Options& options, int crosses, const std::function<void()>& trip) {
  const SwitchCpu cpu(options.pid);
  std::vector<double> trips;
  trips.reserve(1'000'000);
  const auto until = [&](double seconds, bool keep) {
    for (const Clock::time_point end =
             Clock::now() + std::chrono::duration_cast<Clock::duration>(Seconds(seconds));
         Clock::now() < end;) {
      if (options.pause_us > 0) pause(options.pause_us);
      const Clock::time_point start = Clock::now();
      trip();
      if (keep)
        trips.push_back(std::chrono::duration<double, std::micro>(Clock::now() - start).count());
    }
  };
  until(options.warmup, false);
  const double cpu_before = cpu.seconds();
  until(options.seconds, true);
  const double cpu_after = cpu.seconds();

  std::sort(trips.begin(), trips.end());
  const auto quantile = [&](double q) {
    return trips[static_cast<std::size_t>(q * static_cast<double>(trips.size() - 1))];
  };
  Json json;
  json.add("trips", static_cast<double>(trips.size()));
  json.add("median_us", quantile(0.5));
  json.add("p90_us", quantile(0.9));
  json.add("p99_us", quantile(0.99));
  json.add("p999_us", quantile(0.999));
  json.add("p9999_us", quantile(0.9999));
  json.add("worst_us", trips.back());
  json.add("switch_ns_per_frame",
           (cpu_after - cpu_before) * 1e9 / (crosses * static_cast<double>(trips.size())));
  json.print();
}

void pingpong(const Options& options) {
  const std::vector<VdeClient> clients = pair_of_clients(options);
  const Child other([&] {
    pin_to(options, 1);
    echo(clients[1].data.get(), options.size);
  });
  pin_to(options, 0);
  const timeval timeout = {1, 0};
  const int fd = clients[0].data.get();
  if (setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout) != 0) fail("setsockopt");

  TestFrame ping(options.size, TestFrame::mac_of(1), TestFrame::mac_of(0));
  char buffer[2048];
  std::uint64_t sequence = 0;
  measure_trips(options, 2, [&] {
    ping.set_sequence(++sequence);
    if (::send(fd, ping.data(), ping.size(), 0) < 0) fail("send");
    do {
      if (recv(fd, buffer, sizeof buffer, 0) < 0) fail("no answer");
    } while (TestFrame::sequence_of(buffer) != sequence);
  });
}

void oneway(const Options& options) {
  const std::vector<VdeClient> clients = pair_of_clients(options);
  pin_to(options, 0);
  TestFrame frame(options.size, TestFrame::mac_of(1), TestFrame::mac_of(0));
  char buffer[2048];
  std::uint64_t sequence = 0;
  measure_trips(options, 1, [&] {
    frame.set_sequence(++sequence);
    if (::send(clients[0].data.get(), frame.data(), frame.size(), 0) < 0) fail("send");
    const Clock::time_point give_up = Clock::now() + std::chrono::seconds(1);
    while (recv(clients[1].data.get(), buffer, sizeof buffer, MSG_DONTWAIT) < 0 ||
           TestFrame::sequence_of(buffer) != sequence) {
      if (Clock::now() > give_up) throw std::runtime_error("a frame did not arrive");
    }
  });
}

void hold(const Options& options) {
  std::vector<VdeClient> clients;
  for (int i = 0; i < options.receivers; ++i) clients.push_back(connect_client(options.sock, i));
  std::puts("ready");
  std::fflush(stdout);
  while (getchar() != EOF) {
  }
}

// Standard input of the program is a pipe that stays open and silent: a switch on a terminal ends
// with its input.
void start(const Options& options) {
  int input[2];
  if (pipe2(input, O_CLOEXEC) != 0) fail("pipe");
  const Clock::time_point begin = Clock::now();
  const Child program([&] {
    dup2(input[0], STDIN_FILENO);
    dup2(STDERR_FILENO, STDOUT_FILENO);
    execvp(options.program[0], options.program.data());
    fail(options.program[0]);
  });
  const VdeClient client = connect_client(options.sock, 0);
  Json json;
  json.add("start_ms", std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  json.print();
}

Options parse(int argc, char** argv) {
  Options options;
  if (argc < 2)
    throw std::invalid_argument("a mode is missing: stream, pingpong, oneway, hold or start");
  options.mode = argv[1];
  const std::map<std::string, std::function<void(const char*)>> known = {
      {"--sock", [&](const char* v) { options.sock = v; }},
      {"--size", [&](const char* v) { options.size = std::strtoul(v, nullptr, 10); }},
      {"--seconds", [&](const char* v) { options.seconds = std::atof(v); }},
      {"--warmup", [&](const char* v) { options.warmup = std::atof(v); }},
      {"--macs", [&](const char* v) { options.macs = static_cast<std::uint32_t>(std::atoi(v)); }},
      {"--batch", [&](const char* v) { options.batch = std::strtoul(v, nullptr, 10); }},
      {"--rate", [&](const char* v) { options.rate = std::atof(v); }},
      {"--burst",
       [&](const char* v) {
         options.burst = static_cast<std::uint32_t>(std::max(1, std::atoi(v)));
       }},
      {"--receivers", [&](const char* v) { options.receivers = std::atoi(v); }},
      {"--first", [&](const char* v) { options.first = std::atoi(v); }},
      {"--broadcast", [&](const char* v) { options.broadcast = std::atoi(v) != 0; }},
      {"--receive", [&](const char* v) { options.receive = v; }},
      {"--pause", [&](const char* v) { options.pause_us = std::atof(v); }},
      {"--pid", [&](const char* v) { options.pid = std::atoi(v); }},
      {"--pin",
       [&](const char* v) {
         for (char* rest = const_cast<char*>(v); *rest != '\0'; rest += *rest == ',') {
           options.cpus.push_back(static_cast<int>(std::strtol(rest, &rest, 10)));
         }
       }},
  };
  for (int i = 2; i < argc; i += 2) {
    if (std::string(argv[i]) == "--") {
      options.program.assign(argv + i + 1, argv + argc + 1);  // with the final null pointer
      break;
    }
    const auto option = known.find(argv[i]);
    if (option == known.end() || i + 1 >= argc)
      throw std::invalid_argument(std::string("unknown or incomplete: ") + argv[i]);
    option->second(argv[i + 1]);
  }
  const bool sizes = options.size >= kFrameSizeMin && options.size <= kFrameSizeMax &&
                     options.batch >= 1 && options.batch <= 1024;
  const bool counts = options.receivers >= 1 && options.receivers <= kReceiversMax &&
                      options.macs >= 1 && options.macs <= 1U << 24;
  if (!sizes || !counts || options.sock.empty() || options.seconds <= 0 || options.seconds > 600)
    throw std::invalid_argument("an option is missing or out of range");
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  try {
    const Options options = parse(argc, argv);
    if (options.mode == "stream")
      StreamRun(options).run();
    else if (options.mode == "pingpong")
      pingpong(options);
    else if (options.mode == "oneway")
      oneway(options);
    else if (options.mode == "hold")
      hold(options);
    else if (options.mode == "start" && options.program.size() > 1)
      start(options);
    else
      throw std::invalid_argument("unknown mode " + options.mode);
  } catch (const std::exception& error) {
    std::fprintf(stderr, "bench_vde_load: %s\n", error.what());
    return 1;
  }
  return 0;
}
