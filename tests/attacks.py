"""Every attack on the promises of docs/reliability.md, by kind: `make attack`.

    python tests/attacks.py            # run all; print how many of each kind were tried and held
    python tests/attacks.py --write    # and put the table into docs/reliability.md
    python tests/attacks.py -k yaml    # the kinds whose text has this word

An attack is a test, or one set of parameters of a test. Those that are not marked as long run in `make test` too.
"""

import argparse
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest

from longtail.files.atomic import atomic_path
from longtail.report.typeset import fill

ROOT = Path(__file__).parents[1]
DOCUMENT = ROOT / "docs" / "reliability.md"


@dataclass(frozen=True)
class Kind:
    """Attacks of one kind.

    Attributes:
        tried: what is done.
        promised: what has to come of it.
        tests: files of tests below tests/, or single tests in them as FILE::TEST.
    """

    tried: str
    promised: str
    tests: tuple[str, ...]


KINDS = (
    Kind(
        "Results whose `.snakemake` is gone, that were copied, replaced, put back or made by other settings",
        "What differs is made again, what is equal stays, what cannot be known is told",
        (
            "experiment/test_staleness.py::test_exactly_the_stale_jobs_run",
            "experiment/test_staleness.py::test_a_training_setting_is_in_the_key_of_every_run",
            "experiment/test_staleness.py::test_exactly_the_stale_jobs_run_where_snakemake_remembers_nothing",
            "experiment/test_staleness.py::test_a_copy_made_without_times_is_not_stale",
            "experiment/test_staleness.py::test_a_run_that_is_not_what_its_proof_says_is_made_again",
            "experiment/test_staleness.py::test_older_results_that_are_put_back_are_made_again",
            "experiment/test_staleness.py::test_results_without_a_proof_are_told_and_taken_over_by_a_touch",
            "experiment/test_staleness.py::test_an_interrupted_change_is_finished_later",
            "experiment/test_proof.py",
        ),
    ),
    Kind(
        "Two configurations in one results folder, or runs of other versions of torch, torchvision, timm",
        "Told once, with what to do",
        (
            "experiment/test_staleness.py::test_a_folder_that_two_configurations_share_is_told_to_each",
            "experiment/test_staleness.py::"
            "test_runs_of_another_version_are_told_once_and_stale_only_where_that_is_wished",
        ),
    ),
    Kind(
        "A file that a setting names, a module that one's own loss imports, a picture, changed with any time",
        "What depends on it is made again",
        ("experiment/test_contents.py", "experiment/test_fingerprint.py"),
    ),
    Kind(
        "A Snakemake that is killed while its jobs work; what shows the finished runs after a failure",
        "Every program ends with it, and the next Snakemake waits for that",
        (
            "machine/test_stopping.py",
            "machine/test_interruption.py::"
            "test_kills_and_ctrl_c_lose_no_epoch_and_a_second_snakemake_is_told_who_works_there",
            "machine/test_interruption.py::test_what_shows_the_finished_runs_forces_nothing_and_ends_with_the_first",
            "experiment/test_partial.py",
            "experiment/test_lock.py",
        ),
    ),
    Kind(
        "Ctrl-C once or twice, SIGTERM, a closed terminal, from when Snakemake reads its profile",
        "All has ended within seconds with the states saved, and the same command goes on",
        (
            "machine/test_interruption.py::"
            "test_kills_and_ctrl_c_lose_no_epoch_and_a_second_snakemake_is_told_who_works_there",
            "machine/test_interruption.py::test_every_signal_ends_all_at_every_moment",
            "machine/test_interruption.py::"
            "test_a_second_ctrl_c_ends_at_once_and_under_nohup_a_closed_terminal_ends_nothing",
        ),
    ),
    Kind(
        "Links, files, FIFOs and closed folders where GPUs are shared; other users, homes and temporary folders",
        "Nobody can stop or mislead a job, and one that waits names who holds the GPU",
        ("machine/test_device.py",),
    ),
    Kind(
        "A given split that divides groups or equal pictures; folders that are a split or classes; hidden folders",
        "No picture leaves its set; what is ambiguous is refused; what is left out is told",
        (
            "data/test_given_split.py",
            "data/test_folder.py::test_hidden_folders_are_left_out_at_every_depth_with_the_number_of_pictures",
            "data/test_folder.py::test_hidden_files_are_told_once_for_each_folder_and_make_no_job_stale",
            "data/test_folder.py::test_other_names_are_seen",
        ),
    ),
    Kind(
        "A picture's name on a FIFO, a device, a folder, a sparse file; bombs of pixels and scans; links in circles",
        "A finding, or an error in the row, within stated limits of time and memory",
        (
            "data/test_folder.py::test_folders_that_link_to_one_another_are_read_once",
            "data/test_folder.py::test_links_out_of_the_collection_are_followed_once",
            "data/test_folder.py::test_a_link_to_a_folder_above_is_not_followed",
            "data/test_folder.py::test_a_link_to_itself_is_told",
            "data/test_folder.py::test_folders_within_folders_are_read_to_a_stated_depth",
            "data/test_folder.py::test_what_has_the_name_of_a_picture_and_is_none_is_a_finding_and_a_row",
            "data/test_folder.py::test_a_csv_that_names_what_is_no_file_and_one_that_is_none",
            "data/test_folder.py::test_a_folder_that_cannot_be_read_is_told",
            "data/test_decoding.py",
        ),
    ),
    Kind(
        "YAML that says something else than it seems to: keys twice, octal, 1:30, yes for a number, text for a number",
        "Refused with file and line; numbers in free mappings are numbers",
        ("config/test_files.py", "config/test_together.py::test_entries_outside_the_grid_are_checked_too"),
    ),
    Kind(
        "Configurations that are wrong in many places, or changed at random",
        "All problems at once, each with key, value and what is allowed",
        (
            "config/test_config.py::test_all_problems_are_reported_at_once_with_the_nearest_name",
            "config/test_config.py::test_a_wrong_value_names_key_and_remedy",
            "config/test_fit.py",
            "config/test_odd_values.py",
            "config/test_together.py::test_all_problems_are_told_at_once_whatever_hides_them",
        ),
    ),
    Kind(
        "Regular expressions that are none, or would be searched for ages; new names without a letter",
        "Refused in one sentence, within seconds of processor time",
        (
            "data/test_classes.py::test_what_python_takes_for_no_expression_is_refused_in_one_sentence",
            "data/test_classes.py::test_an_expression_that_would_be_searched_for_ages_is_refused",
            "data/test_classes.py::test_a_new_name_has_no_spaces_around_it_and_no_ends_of_lines",
        ),
    ),
    Kind(
        "Predictions of other programs that contradict themselves, cannot be laid out, or are of odd types",
        "One sentence that names the file and the line, and nothing is written",
        (
            "analysis/test_foreign.py::test_what_cannot_be_meant_is_refused_in_one_sentence",
            "analysis/test_foreign.py::test_counts_that_are_none_are_refused",
            "analysis/test_foreign.py::test_values_of_parquet_that_are_none_are_refused",
            "analysis/test_foreign.py::test_the_name_of_a_file_that_names_no_method_is_refused",
            "analysis/test_foreign.py::test_logits_and_probabilities_are_not_taken_for_each_other",
            "analysis/test_foreign.py::test_a_run_in_two_tables_is_refused",
            "analysis/test_foreign.py::test_what_cannot_be_done_leaves_everything_as_it_was",
        ),
    ),
    Kind(
        "Empty words for options, links to themselves, and letters that the encoding of the terminal lacks",
        "Refused in one sentence by every command; help and logs are shown",
        (
            "doors/test_command.py::test_no_option_takes_an_empty_word",
            "doors/test_command.py::test_a_link_to_itself_is_nothing_for_any_command",
            "doors/test_command.py::test_letters_that_the_standard_output_lacks_are_told",
            "doors/test_command.py::test_help_is_shown_in_any_encoding",
            "doors/test_command.py::test_a_job_with_a_log_in_another_encoding_goes_on",
        ),
    ),
    Kind(
        "A known name for something else: `resnet32: {architecture: resnet8}`",
        "Refused",
        ("config/test_together.py::test_a_name_of_this_project_means_what_it_always_means",),
    ),
    Kind(
        "A loss of one's own that is missing, broken, a folder, or imports what is missing",
        "One sentence in the list of problems",
        (
            "config/test_together.py::test_a_loss_of_ones_own_that_cannot_be_built_is_told_with_the_other_problems",
            "config/test_together.py::"
            "test_a_loss_of_ones_own_in_a_folder_of_its_name_is_refused_and_a_right_one_is_not",
            "doors/test_testing.py",
        ),
    ),
    Kind(
        "Weights that a model cannot load, or that were trained for another",
        "Refused before any job",
        (
            "config/test_together.py::test_weights_that_cannot_be_loaded_are_refused_before_any_job",
            "models/test_models.py::test_weights_of_another_shape_or_model_are_refused_with_what_differs",
            "models/test_models.py::test_files_that_are_no_weights_are_refused",
        ),
    ),
    Kind(
        "Folders within folders, results where states are, links between them",
        "Refused; `make clean` deletes states and nothing else",
        (
            "config/test_together.py::test_folders_that_would_delete_or_mix_one_another_are_refused",
            "config/test_together.py::test_the_users_pictures_lie_outside_of_work_and_do_not_hold_the_results",
            "config/test_together.py::test_links_are_followed_between_folders",
            "doors/test_clean.py",
        ),
    ),
    Kind(
        "An output that is an input, a folder, in a folder that is read, or has another ending",
        "Refused by every program; the file stays as it was",
        (
            "doors/test_outputs.py",
            "doors/test_new_photographs.py::test_nothing_is_written_over_the_list",
            "doors/test_new_photographs.py::test_nothing_is_written_into_the_folder_of_the_photographs",
        ),
    ),
    Kind(
        "A run that is forced with --forcerun, --forceall or --force",
        "It begins at its first epoch",
        ("machine/test_interruption.py::test_a_forced_run_begins_anew_and_goes_on_where_it_was_killed",),
    ),
    Kind(
        "The model of another run, copied into the folder of this one",
        "Prediction refuses it and says what differs",
        ("inference/test_model_of_another_run.py",),
    ),
    Kind(
        "A model file whose seal is right and whose content is hostile",
        "One sentence; nothing is built or allocated before the card is believed",
        (
            "models/test_card.py",
            "doors/test_predict.py::test_a_file_that_is_no_model_is_refused_in_one_message",
        ),
    ),
    Kind(
        "Settings that do something else in a short run, or with another backbone",
        "The layers are those of the whole model; the average warms up; what is never reached is told",
        ("training/test_optimization.py",),
    ),
    Kind(
        "Balancing twice: weights with a balanced sampler, deferred weights with a balanced loss",
        "Told in log, plan and caption",
        ("config/test_together.py::test_a_double_correction_is_warned_of_and_a_published_one_is_not",),
    ),
    Kind(
        "Other numbers of threads and cores",
        "job.threads fixes the bytes; the record says how many computed",
        (
            "training/test_training.py::test_the_same_config_gives_the_same_bytes_whatever_the_process_and_its_cores",
            "machine/test_device.py::"
            "test_a_job_computes_with_the_configured_threads_also_where_snakemake_has_fewer_cores",
        ),
    ),
    Kind(
        "Names that are None, NA, nan, =cmd, or hold escape codes",
        "They come back from every csv as they were, and do nothing on a terminal, in Markdown or in a spreadsheet",
        (
            "files/test_csv.py",
            "doors/test_predict.py::test_names_of_classes_do_nothing_on_a_terminal_and_in_a_csv",
            "doors/test_watch.py::test_no_terminal_obeys_the_name_of_a_run",
            "doors/test_export.py::test_names_with_markdown_in_them_stay_names",
        ),
    ),
    Kind(
        "Records, logs and notes of the progress that are odd",
        "The run is named, the others are shown",
        (
            "doors/test_watch.py::test_an_odd_record_ends_no_watching_and_its_run_is_named",
            "doors/test_watch.py::test_an_odd_log_ends_no_watching",
            "experiment/test_cost.py::test_an_odd_note_of_the_progress_is_named_and_does_not_count",
            "experiment/test_cost.py::test_an_odd_record_is_named_and_the_other_runs_still_count",
        ),
    ),
    Kind(
        "Tables and records that are well sealed and make no sense, and other files in their place, for every program",
        "One sentence that names the file, and nothing is written",
        ("workflow/test_odd_inputs.py",),
    ),
    Kind(
        "Files cut off, flipped or blanked; pickles with a payload",
        "Recognised or harmless; nothing in them runs",
        ("files/test_damage.py", "workflow/test_security.py"),
    ),
    Kind(
        "A loss of one's own that works in place, sums, returns no scalar, keeps a state or wants to be trained",
        "Right numbers, or one sentence; what it keeps between steps is resumed",
        ("losses/test_own_faults.py", "training/test_own_state.py"),
    ),
    Kind(
        "A run that was trained, copied or predicted anew beside its earlier evaluation and record",
        "A model card shows what is proven to be of its weights; load_results warns",
        (
            "doors/test_export.py::test_results_and_record_of_other_weights_are_left_out_and_told",
            "doors/test_export.py::test_results_that_are_named_but_proven_to_be_of_other_weights_are_refused",
        ),
    ),
    Kind(
        "Sizes, layers or attention that a model does not have; sides and counts that leave no images",
        "In the list of problems; what only a library knows, by `longtail plan` and when the job starts",
        (
            "config/test_fit.py::test_what_a_model_cannot_take_is_refused_without_its_library",
            "config/test_fit.py::test_low_rank_updates_of_convolutions_are_refused",
            "config/test_fit.py::test_relations_between_settings_of_the_data_are_refused_with_the_others",
            "config/test_fit.py::test_a_loss_that_is_a_plain_module_is_not_weighed",
            "doors/test_plan.py::test_what_only_a_library_knows_of_a_model_is_told_by_the_plan",
            "models/test_models.py::test_image_sizes_that_do_not_fit_are_refused",
            "models/test_models.py::test_a_size_that_shows_only_on_an_image_is_refused",
        ),
    ),
    Kind(
        "A FIFO, a device, a folder or a circle of links in place of a result, or where a setting names a file",
        "No content and no result; planning does not wait for it",
        (
            "experiment/test_contents.py::test_what_is_no_file_has_no_content_and_is_not_waited_for",
            "experiment/test_contents.py::test_a_parameter_of_ones_own_loss_may_be_any_text",
            "experiment/test_proof.py::test_what_is_no_file_any_more_is_not_what_was_made_and_is_not_read",
        ),
    ),
    Kind(
        "Lists that name a picture twice, hide regions in other columns, or get settings that mean nothing for them",
        "Refused or asked about, with the row, the columns or the setting",
        (
            "data/test_lists.py::test_four_columns_that_may_be_a_region_are_asked_about",
            "data/test_lists.py::test_a_picture_that_a_list_names_twice_and_differently_is_refused",
            "data/test_lists.py::test_groups_that_differ_only_in_case_are_told",
            "data/test_lists.py::test_a_setting_that_means_nothing_for_a_list_is_refused",
            "data/test_lists.py::test_an_id_of_coco_that_means_two_things_is_refused",
            "data/test_lists.py::test_a_category_without_a_name_is_no_class",
            "data/test_lists.py::test_an_occurrence_that_is_listed_twice_and_differently_is_refused",
            "data/test_lists.py::test_subsets_of_cvat_are_a_split_or_refused",
            "data/test_image_folder.py::test_names_of_classes_in_a_list_are_different_and_do_nothing",
        ),
    ),
    Kind(
        "A frozen split whose pictures were renamed, retouched, or have names like formulas",
        "No picture leaves its set",
        ("data/test_frozen.py",),
    ),
    Kind(
        "The model, the predictions or the split of another run beside a model; old test images for new ones; crops",
        "Refused or left out by name, whatever proofs lie there; a link leads to the run of its model",
        (
            "doors/test_new_photographs.py::test_what_another_model_has_answered_is_refused",
            "doors/test_new_photographs.py::test_new_photographs_are_cropped_as_the_test_images_were",
            "doors/test_new_photographs.py::test_old_test_images_are_no_new_photographs",
            "analysis/test_evaluation.py::test_predictions_of_another_model_are_evaluated_by_nothing",
            "doors/test_new_photographs.py::test_a_split_that_was_made_anew_since_is_refused",
            "doors/test_new_photographs.py::test_a_link_to_a_model_leads_to_its_run",
            "doors/test_new_photographs.py::"
            "test_without_the_index_of_a_collection_nobody_knows_what_was_trained_on",
            "doors/test_new_photographs.py::test_a_model_of_equal_counts_has_no_head_and_tail",
            "doors/test_new_photographs.py::test_a_class_without_test_images_has_the_group_of_the_split",
            "doors/test_new_photographs.py::test_a_table_that_predict_did_not_write_is_refused_by_name",
        ),
    ),
    Kind(
        "An input that the workflow makes itself; runs whose images are stored too small, or whose seed is long",
        "Refused before any job, or right",
        (
            "config/test_together.py::test_an_input_that_the_workflow_makes_itself_is_refused",
            "config/test_together.py::test_the_worst_of_groups_that_are_not_there_chooses_no_epoch",
            "experiment/test_variant_runs.py::"
            "test_images_are_stored_as_large_as_any_training_needs_them_also_outside_of_the_grid",
            "experiment/test_variant_runs.py::test_every_seed_that_the_configuration_takes_names_a_run",
        ),
    ),
    Kind(
        "Variables of the environment in paths",
        "Refused with what to write; ~ is filled in once",
        (
            "config/test_together.py::test_a_variable_of_the_environment_is_refused_in_every_path",
            "config/test_together.py::test_a_dollar_that_is_no_variable_or_in_a_name_that_exists_is_one",
            "config/test_together.py::test_the_home_directory_is_filled_in_once_in_every_path",
            "doors/test_outputs.py::test_a_path_after_an_equals_sign_means_what_it_means_elsewhere",
        ),
    ),
    Kind(
        "Addresses from which nothing can be fetched: empty, ftp:, no host, no such file",
        "Refused when planning, with the forms that are allowed",
        (
            "config/test_together.py::test_an_address_that_gives_nothing_is_refused",
            "config/test_together.py::test_a_list_of_addresses_needs_one_that_may_give_something",
        ),
    ),
    Kind(
        "Parameters that a loss of one's own does not take, needs, or takes of another type",
        "Told when planning where its source tells; else nothing is said",
        ("config/test_own_parameters.py",),
    ),
    Kind(
        "Settings that are written and do nothing",
        "Told once when planning; no shipped configuration has one",
        ("config/test_effect.py",),
    ),
    Kind(
        "A standard output or error that is closed or full",
        "Exit status 1, with a sentence on the other",
        (
            "doors/test_command.py::test_output_that_arrives_nowhere_is_told_on_the_other_stream",
            "doors/test_command.py::test_an_error_whose_stream_is_full_is_told_on_the_other",
            "doors/test_command.py::test_a_program_of_the_workflow_ends_with_an_error_where_nobody_hears_it",
        ),
    ),
    Kind(
        "Collections, results, tables of predictions and states that are none, for init, cite, worklist and clean",
        "One sentence that names them, and nothing is written",
        ("doors/test_strange_inputs.py",),
    ),
    Kind(
        "Watching runs whose workflow fails, is killed, begins anew, or is on another machine",
        "It ends after the workflow and names the runs that are not finished; else it goes on",
        (
            "doors/test_watch.py::"
            "test_watching_ends_after_a_workflow_that_has_not_finished_all_and_names_them",
            "doors/test_watch.py::test_jobs_of_a_cluster_are_watched_on_without_their_workflow",
            "doors/test_watch.py::test_where_nobody_here_knows_the_workflow_watching_goes_on",
            "doors/test_watch.py::test_a_number_that_another_process_has_now_is_no_workflow",
            "doors/test_watch.py::test_a_workflow_that_begins_is_waited_for_after_an_earlier_one_failed",
        ),
    ),
)


class Outcomes:
    """Counts, for each file and each test, the attacks that were tried and those that held; a plugin of pytest."""

    def __init__(self) -> None:
        self.found: dict[str, Counter] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped or (report.when != "call" and report.passed):
            return
        file, _, test = report.nodeid.removeprefix("tests/").partition("::")
        for name in (file, f"{file}::{test.partition('[')[0]}"):
            self.found.setdefault(name, Counter()).update(tried=1, held=int(report.passed))


def attack(kinds: list[Kind]) -> tuple[dict[str, Counter], int]:
    """What `Outcomes` found of these kinds, and pytest's exit status."""
    nodes = dict.fromkeys(f"{ROOT}/tests/{test}" for kind in kinds for test in kind.tests)
    outcomes = Outcomes()
    options = ["-m", "", "--numprocesses=auto", "--maxprocesses=8", "--dist=loadfile", f"--rootdir={ROOT}"]
    code = pytest.main([*options, *nodes], plugins=[outcomes])
    return outcomes.found, int(code)


def table(kinds: list[Kind], found: dict[str, Counter]) -> pd.DataFrame:
    """A row for each kind: what was tried, what is promised, how many inputs, and how many held."""
    rows = []
    for kind in kinds:
        counts = sum((found.get(test, Counter()) for test in kind.tests), Counter())
        files = dict.fromkeys(test.partition("::")[0] for test in kind.tests)
        rows.append(
            {
                "What is tried": kind.tried,
                "What is promised": kind.promised,
                "Tests": ", ".join(f"`tests/{file}`" for file in files),
                "Tried": str(counts["tried"]),
                "Held": str(counts["held"]),
            }
        )
    return pd.DataFrame(rows)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--write", action="store_true", help="the table into docs/reliability.md")
    parser.add_argument("-k", metavar="WORD", default="", help="only kinds whose text has this word")
    args = parser.parse_args()
    kinds = [kind for kind in KINDS if args.k.lower() in f"{kind.tried} {kind.promised}".lower()]
    if not kinds:
        parser.error(f"no kind of attack has {args.k!r} in its text")
    found, code = attack(kinds)
    rows = table(kinds, found)
    for row in rows.to_dict("records"):
        print(f"{row['Tried']:>5} tried {row['Held']:>5} held  {row['What is tried']}")
    tried, held = (sum(map(int, rows[name])) for name in ("Tried", "Held"))
    print(f"{tried:>5} tried {held:>5} held  in all")
    if args.write:
        if args.k or code:
            parser.error("the table is written after all attacks were held")
        document = fill(DOCUMENT.read_text(encoding="utf-8"), {"attacks": rows})
        with atomic_path(DOCUMENT) as path:
            path.write_text(document, encoding="utf-8")
    sys.exit(code)


if __name__ == "__main__":
    main()
