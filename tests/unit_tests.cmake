# SPDX-License-Identifier: MIT
#
# C++ tests: one line a file, one program. They need no network, no root and no time; those that
# can use root (TAPs, other users) say what they skip without it.
find_package(rapidcheck REQUIRED)

add_executable(lanyard_tests
  backend/gateway/address_responder_test.cpp
  backend/gateway/coalescer_test.cpp
  backend/gateway/confinement_test.cpp
  backend/gateway/daemon_listeners_test.cpp
  backend/gateway/datagram_runs_test.cpp
  backend/gateway/dhcp_message_test.cpp
  backend/gateway/dhcp_model_test.cpp
  backend/gateway/dhcp_server_test.cpp
  backend/gateway/dns_forwarder_test.cpp
  backend/gateway/dns_message_test.cpp
  backend/gateway/dns_service_test.cpp
  backend/gateway/dns_zone_test.cpp
  backend/gateway/flow_table_test.cpp
  backend/gateway/forwards_test.cpp
  backend/gateway/fragment_reassembler_test.cpp
  backend/gateway/frame_channel_test.cpp
  backend/gateway/frame_sanitiser_test.cpp
  backend/gateway/guest_output_test.cpp
  backend/gateway/guest_side_test.cpp
  backend/gateway/lease_file_test.cpp
  backend/gateway/list_pages_test.cpp
  backend/gateway/nat_expiry_test.cpp
  backend/gateway/nat_policy_test.cpp
  backend/gateway/nat_test.cpp
  backend/gateway/neighbour_table_test.cpp
  backend/gateway/packet_test.cpp
  backend/gateway/ping_relay_test.cpp
  backend/gateway/policy_test.cpp
  backend/gateway/quota_test.cpp
  backend/gateway/resolver_list_test.cpp
  backend/gateway/router_advertiser_test.cpp
  backend/gateway/tcp_flow_loss_test.cpp
  backend/gateway/tcp_flow_order_test.cpp
  backend/gateway/tcp_flow_property_test.cpp
  backend/gateway/tcp_flow_test.cpp
  backend/gateway/tcp_reassembly_test.cpp
  backend/gateway/tcp_scoreboard_test.cpp
  backend/gateway/tftp_server_test.cpp
  backend/gateway/udp_flow_table_test.cpp
  backend/gateway/udp_frame_test.cpp
  backend/gateway/udp_relay_test.cpp
  backend/endpoint_contract_test.cpp
  backend/gateway_test.cpp
  backend/plug_test.cpp
  backend/record_file_test.cpp
  backend/stream_endpoint_test.cpp
  plugins/abi_test.cpp
  plugins/acl_test.cpp
  plugins/iplog_test.cpp
  plugins/netem_test.cpp
  plugins/pdump_queue_test.cpp
  switch/base/fd_test.cpp
  switch/base/descriptor_passing_test.cpp
  switch/base/given_sockets_test.cpp
  switch/base/identity_test.cpp
  switch/base/json_test.cpp
  switch/base/log_test.cpp
  switch/base/one_message_test.cpp
  switch/base/poll_one_test.cpp
  switch/base/result_test.cpp
  switch/base/sandbox_status_test.cpp
  switch/base/sandbox_test.cpp
  switch/base/socket_directory_test.cpp
  switch/base/text_test.cpp
  switch/base/time_test.cpp
  switch/base/transient_error_test.cpp
  switch/base/unix_socket_test.cpp
  switch/bridge/binding_table_test.cpp
  switch/bridge/bpdu_test.cpp
  switch/bridge/conservation_test.cpp
  switch/bridge/dhcp_snooping_test.cpp
  switch/bridge/drop_test.cpp
  switch/bridge/filter_test.cpp
  switch/bridge/forward_test.cpp
  switch/bridge/frame_queue_test.cpp
  switch/bridge/guard_inspection_test.cpp
  switch/bridge/guards_test.cpp
  switch/bridge/link_test.cpp
  switch/bridge/mac_table_test.cpp
  switch/bridge/model_test.cpp
  switch/bridge/packet_inspector_test.cpp
  switch/bridge/port_set_test.cpp
  switch/bridge/port_test.cpp
  switch/bridge/rstp_test.cpp
  switch/bridge/spanning_tree_test.cpp
  switch/bridge/switch_test.cpp
  switch/bridge/token_bucket_test.cpp
  switch/bridge/vlan_table_test.cpp
  switch/cli/command_line_test.cpp
  switch/cli/render_test.cpp
  switch/cli/tool_test.cpp
  switch/control/plugin_file_test.cpp
  switch/control/plugin_host_test.cpp
  switch/control/rpc_params_test.cpp
  switch/control/rpc_server_test.cpp
  switch/daemon/confinement_test.cpp
  switch/daemon/gateway_listeners_test.cpp
  switch/daemon/gateway_process_test.cpp
  switch/daemon/handover_frames_test.cpp
  switch/daemon/handover_state_test.cpp
  switch/daemon/network_plugins_test.cpp
  switch/daemon/networks_confinement_test.cpp
  switch/daemon/options_test.cpp
  switch/daemon/keeper_message_test.cpp
  switch/daemon/keeper_watch_test.cpp
  switch/daemon/kept_process_test.cpp
  switch/daemon/reload_plan_test.cpp
  switch/daemon/spawner_directories_test.cpp
  switch/daemon/spawner_message_test.cpp
  switch/daemon/spawner_test.cpp
  switch/frame/ethernet_test.cpp
  switch/frame/fixed_mac_test.cpp
  switch/frame/frame_pool_test.cpp
  switch/frame/frame_test.cpp
  switch/frame/internet_checksum_test.cpp
  switch/frame/mac_address_test.cpp
  switch/frame/offload_test.cpp
  switch/frame/segment_joiner_test.cpp
  switch/frame/settler_test.cpp
  switch/frame/virtio_header_test.cpp
  switch/host/doctor_test.cpp
  switch/host/forwarding_test.cpp
  switch/host/host_interface_test.cpp
  switch/host/netlink_message_test.cpp
  switch/host/overlap_test.cpp
  switch/host/routing_test.cpp
  switch/host/ruleset_test.cpp
  switch/network/config_diff_test.cpp
  switch/network/config_file_test.cpp
  switch/network/config_guard_test.cpp
  switch/network/config_round_trip_test.cpp
  switch/network/forward_text_test.cpp
  switch/network/guard_settings_test.cpp
  switch/network/ip_address_test.cpp
  switch/network/json_rpc_test.cpp
  switch/network/plugin_text_test.cpp
  switch/network/policy_rule_test.cpp
  switch/network/port_holder_test.cpp
  switch/runtime/backend_test.cpp
  switch/runtime/busy_poll_test.cpp
  switch/runtime/deadline_timer_test.cpp
  switch/runtime/event_loop_test.cpp
  switch/runtime/frame_ring_test.cpp
  switch/runtime/lane_test.cpp
  switch/runtime/line_channel_test.cpp
  switch/runtime/memory_reserve_test.cpp
  switch/runtime/time_slice_test.cpp
  switch/runtime/turn_times_test.cpp
  switch/runtime/wake_lead_test.cpp
  switch/runtime/wake_moderation_test.cpp
  system_calls_test.cpp
)
target_link_libraries(lanyard_tests PRIVATE
  lanyard_cli lanyard_gateway_core lanyard_core GTest::gmock GTest::gtest_main rapidcheck rapidcheck_gtest)
if(LANYARD_SANITIZE)
  # Some things a sanitizer does otherwise: system calls, memory of its own.
  target_compile_definitions(lanyard_tests PRIVATE LANYARD_SANITIZED)
endif()
# What is tested is optimised, the tests themselves need not be: it is half of their build's time.
target_compile_options(lanyard_tests PRIVATE $<$<CONFIG:RelWithDebInfo>:-O0 -U_FORTIFY_SOURCE>)
# Plugins that are loaded by tests: ours, and odd ones.
add_dependencies(lanyard_tests lanyard_plugins odd_plugins)
# Only for those that load plugins: a path of this checkout in its flags keeps a file from being shared
# with other checkouts by the compiler cache.
set_property(SOURCE
  backend/endpoint_contract_test.cpp
  plugins/abi_test.cpp
  plugins/acl_test.cpp
  plugins/iplog_test.cpp
  plugins/netem_test.cpp
  plugins/pdump_queue_test.cpp
  switch/control/plugin_host_test.cpp
  switch/daemon/network_plugins_test.cpp
  APPEND PROPERTY COMPILE_DEFINITIONS
  LANYARD_PLUGINS="${PROJECT_BINARY_DIR}/lib/lanyard/plugins"
  LANYARD_ODD_PLUGINS="${PROJECT_BINARY_DIR}/tests/plugins")
math(EXPR unit_timeout "60 * ${lanyard_patience}")
gtest_discover_tests(lanyard_tests PROPERTIES LABELS unit TIMEOUT ${unit_timeout})

# Simulated networks, which take a while if they are not optimised.
add_executable(lanyard_sim_tests
  sim/bridge_network.cpp
  sim/net_script.cpp
  sim/rstp_network_test.cpp
  sim/rstp_property_test.cpp
)
target_compile_definitions(lanyard_sim_tests PRIVATE
  LANYARD_NETS="${CMAKE_CURRENT_SOURCE_DIR}/sim/nets")
target_link_libraries(lanyard_sim_tests PRIVATE lanyard_core GTest::gmock GTest::gtest_main)
math(EXPR sim_timeout "120 * ${lanyard_patience}")
gtest_discover_tests(lanyard_sim_tests PROPERTIES LABELS unit TIMEOUT ${sim_timeout})
