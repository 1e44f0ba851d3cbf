"""What a study leaves behind, as typed records: who writes them and who reads them hold the same types."""

from __future__ import annotations

from pretrieve.records.audit import AuditRecord as AuditRecord
from pretrieve.records.audit import LeakPair as LeakPair
from pretrieve.records.audit import LeakRecord as LeakRecord
from pretrieve.records.label_curve import LabelCurve as LabelCurve
from pretrieve.records.label_curve import LabelCurves as LabelCurves
from pretrieve.records.selection import SelectionRecord as SelectionRecord
from pretrieve.records.study import Attempt as Attempt
from pretrieve.records.study import CellRecord as CellRecord
from pretrieve.records.study import ChoiceRecord as ChoiceRecord
from pretrieve.records.study import PlannedCell as PlannedCell
from pretrieve.records.study import PlanRecord as PlanRecord
from pretrieve.records.study import StudyRecord as StudyRecord
from pretrieve.records.study import TargetRecord as TargetRecord
from pretrieve.records.study import TrialRecord as TrialRecord
from pretrieve.records.study import TrialState as TrialState
from pretrieve.records.verdict import ContrastVerdict as ContrastVerdict
from pretrieve.records.verdict import VerdictRecord as VerdictRecord
