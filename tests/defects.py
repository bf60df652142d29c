"""Which tests show that RayFlow lacks a defect of the old library (``ray-workflows`` 4.4 and 4.5)."""

from __future__ import annotations

_CRASH = "crash/test_every_prefix.py::test_every_crash_ends_with_the_same_result_and_repeats_no_recorded_task"
_HERE = "engine/test_defects.py::"
_COSTS = "unit/test_costs.py::"
_ONE_WRITE = _COSTS + "test_a_task_costs_one_write_and_no_read_however_many_came_before"

DEFECTS: dict[str, list[str]] = {
    "C1": [_HERE + "test_c1_a_checkpoint_is_recorded_when_what_its_references_hold_is_stored"],
    "C2": [
        "storage/test_journal.py::test_a_batch_that_is_torn_at_any_byte_was_not_committed",
        "storage/test_index.py::test_a_torn_entry_was_not_written",
        "engine/test_damage.py::test_a_damaged_journal_is_never_loaded_and_harms_nobody_else",
        "engine/test_damage.py::test_a_damaged_value_is_never_decoded",
    ],
    "C3": [
        "engine/test_resume_all.py::test_what_has_no_place_or_is_damaged_is_left_out_and_the_others_go_on",
        _CRASH,
        "crash/test_chaos.py::test_every_accepted_workflow_ends_right_whatever_is_killed",
    ],
    "C4": [
        "unit/test_intake.py::test_a_submission_that_was_never_acknowledged_gives_way_to_the_next",
        "crash/test_chaos.py::test_every_accepted_workflow_ends_right_whatever_is_killed",
    ],
    "C5": ["engine/test_submissions.py::test_many_submissions_of_one_id_at_once_are_one_workflow"],
    "C6": [
        "crash/test_nodes.py::test_an_engine_that_was_stopped_and_goes_on_after_a_take_over_lets_go",
        "storage/test_journal.py::test_an_owner_that_was_overtaken_is_fenced_and_changes_nothing_any_more",
        "storage/test_index.py::test_an_owner_that_was_replaced_is_fenced_and_changes_nothing",
    ],
    "C7": [
        "engine/test_failures.py::test_a_caught_exception_is_the_value_of_the_task_and_stays_so"
    ],
    "C8": [_HERE + "test_c8_inputs_have_the_same_types_after_a_recovery"],
    "C9": [
        "unit/test_core.py::test_everything_is_stopped_before_the_end_is_written",
        "engine/test_contract.py::test_siblings_are_gone_before_a_workflow_has_failed_and_a_resume_does_not_meet_them",
    ],
    "C10": [
        "crash/test_full_disk.py::test_a_full_disk_delays_commits_and_refuses_submissions",
        "crash/test_large_results.py::test_a_result_that_the_storage_has_no_room_for_harms_its_workflow_only",
    ],
    "C11": [
        _CRASH,
        "unit/test_core.py::test_a_continuation_inherits_catching_at_its_root_and_checkpointing_everywhere",
    ],
    "C12": [_HERE + "test_c12_two_failures_below_one_catcher_are_one_caught_error"],
    "C13": [
        "engine/test_limits.py::test_a_pending_workflow_is_cancelled_at_once",
        "engine/test_management.py::test_cancel_leaves_a_finished_workflow_alone_and_refuses_an_unknown_one",
    ],
    "C14": [_HERE + "test_c14_a_list_made_while_workflows_start_never_shows_them_as_interrupted"],
    "C15": [
        "unit/test_core.py::test_a_name_chosen_by_hand_does_not_collide_with_a_number",
        "unit/test_core.py::test_ids_are_unique_and_the_same_every_time",
    ],
    "C16": [
        "engine/test_limits.py::test_no_pending_allowed_means_no_queue",
        "unit/test_core.py::test_the_retry_budget",
        "unit/test_retry.py::test_no_end_is_no_end",
        "engine/test_retry.py::test_exceptions_that_are_listed_are_tried_again_and_others_are_not",
        "engine/test_options.py::test_options_that_are_objects_are_honoured_and_survive_a_new_engine",
    ],
    "C17": [_HERE + "test_c17_a_reference_is_stored_again_for_a_workflow_that_was_deleted"],
    "C18": [
        "engine/test_contract.py::test_run_with_the_id_of_a_workflow_that_failed_was_cancelled_or_interrupted",
        "engine/test_management.py::test_metadata_of_workflow_and_task",
        "unit/test_metadata.py::test_every_attempt_is_told_with_its_times_place_and_error",
    ],
    "C19": [
        "engine/test_contract.py::test_a_pending_workflow_that_is_cancelled_tells_who_waits_and_gives_its_place_back",
        "crash/test_kills.py::test_a_run_survives_kills_of_the_engine",
        "crash/test_kills.py::test_pending_and_running_keep_their_places_when_the_engine_is_killed",
    ],
    "C20": [
        "engine/test_bad_input.py::test_what_is_no_id_is_refused_everywhere",
        "engine/test_odd_ids.py::test_an_odd_id_works_like_any_other",
        "engine/test_contract.py::test_an_odd_task_id_is_an_id_like_any_other",
    ],
    "C21": [
        "engine/test_submissions.py::test_many_workflows_from_many_threads_do_not_disturb_each_other"
    ],
    "C22": [_HERE + "test_c22_a_delete_that_a_crash_interrupted_can_be_repeated"],
    "C23": [
        "engine/test_signals.py::test_waits_and_messages_survive_the_engine_and_a_suspension",
        "engine/test_signals.py::test_a_signal_sent_twice_with_one_key_is_one",
    ],
    "C24": [
        "unit/test_errors.py::test_an_error_is_the_same_after_a_journey_between_processes",
        "engine/test_failures.py::test_an_exception_that_cannot_be_pickled_is_reported_as_text",
    ],
    "C25": [_CRASH, _COSTS + "test_nothing_stored_is_written_a_second_time"],
    "C26": [
        _HERE + "test_c26_an_input_that_was_lost_with_its_process_is_read_from_its_checkpoint",
        "crash/test_nodes.py::test_large_values_that_are_lost_with_their_node_are_read_or_computed_again",
        "crash/test_nodes.py::test_tasks_of_a_node_that_dies_are_tried_again_on_another_node",
    ],
    "P1": [_HERE + "test_p1_the_engine_never_touches_the_storage_on_its_event_loop"],
    "P2": [_HERE + "test_p2_two_thousand_waiting_questions_block_nobody"],
    "P3": [_COSTS + "test_a_submission_of_any_size_is_the_same_few_writes"],
    "P4": [_COSTS + "test_a_submission_of_any_size_is_the_same_few_writes"],
    "P5": [_ONE_WRITE, _COSTS + "test_outcomes_that_arrive_together_share_a_write"],
    "P6": [_ONE_WRITE, _COSTS + "test_a_link_of_a_loop_of_continuations_costs_one_write"],
    "P7": [_HERE + "test_p7_a_workflow_of_one_task_is_a_handful_of_writes"],
    "P8": [_HERE + "test_p8_lists_and_statuses_need_no_storage"],
    "P9": [_HERE + "test_p9_metadata_of_any_workflow_is_one_read_of_its_journal"],
    "P10": [_COSTS + "test_a_recovery_reads_the_journal_and_not_the_tasks"],
    "P11": [
        "storage/test_values.py::test_large_arrays_are_written_without_a_copy_inside_the_pickle",
        "storage/test_large_values.py::test_a_write_needs_a_fifth_of_the_value_at_most",
    ],
    "P12": [
        "engine/test_arguments.py::test_a_reference_used_21_times_is_one_object_in_the_storage"
    ],
    "P13": [
        "engine/test_signals.py::test_many_waits_hold_no_cpu_and_no_process",
        "engine/test_events.py::test_many_listeners_share_one_process_and_hold_no_cpu",
    ],
    "P14": [_HERE + "test_p14_code_is_stored_once_however_many_tasks_and_workflows_use_it"],
    "P15": [_COSTS + "test_what_is_finished_is_let_go_while_the_workflow_runs"],
    "P16": [
        "unit/test_dag.py::test_a_chain_of_ten_thousand_needs_no_recursion",
        "engine/test_run.py::test_a_chain_of_five_thousand_tasks_runs",
    ],
    "P17": [
        _COSTS + "test_a_submission_of_any_size_is_the_same_few_writes",
        _HERE + "test_p7_a_workflow_of_one_task_is_a_handful_of_writes",
    ],
    "P18": [_HERE + "test_p18_log_files_are_opened_once_for_a_program_however_many_tasks_it_has"],
    "P19": [_HERE + "test_p19_workflows_are_resumed_beside_each_other"],
}
