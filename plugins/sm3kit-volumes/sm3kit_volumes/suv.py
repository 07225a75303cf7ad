"""Standardised uptake values from the DICOM headers of a PET."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from sm3kit.api import DataError

PHILIPS_FACTOR = (0x7053, 0x1000)


def suv_factor(path: str, headers: Sequence[Any]) -> float:
    """What the values of a series are multiplied by to give SUV by body weight.

        SUV = activity [Bq/ml] * weight [g] / (dose [Bq] * 2 ** -(time [s] / half-life [s]))

    The time runs from the injection to the scan where the images are corrected for decay to the
    start of the scan (DecayCorrection START), and is 0 where they are corrected to the injection
    (ADMIN). The scan starts at SeriesTime, or, where a later step has changed that, at the
    earliest AcquisitionTime.

    Source: Quantitative Imaging Biomarkers Alliance, "Standardized Uptake Value (SUV)", vendor-
    neutral pseudo-code (qibawiki.rsna.org); Kinahan and Fletcher 2010,
    https://doi.org/10.1053/j.sult.2010.10.001, Equation 1.

    Raises:
        DataError: a header that the formula needs is missing, or has another unit.
    """
    first = headers[0]
    units = str(_header(path, first, "Units"))
    if units == "GML":
        return 1.0
    if units == "CNTS" and PHILIPS_FACTOR in first:
        return _number(path, "7053,1000", first[PHILIPS_FACTOR].value)
    if units != "BQML":
        raise DataError(
            f"{path}: the unit of this PET is {units}, but SUV is computed from BQML or GML. "
            "Export it again in Bq/ml, or convert it to a volume of SUV."
        )
    sequence = _header(path, first, "RadiopharmaceuticalInformationSequence")
    tracer = sequence[0] if len(sequence) else {}
    dose = _value(path, tracer, "RadionuclideTotalDose")
    weight = _value(path, first, "PatientWeight")
    if dose <= 0 or weight <= 0:
        raise DataError(
            f"{path}: the dose is {dose:g} Bq and the weight {weight:g} kg; SUV needs both."
        )
    return weight * 1000 / (dose * _left(path, headers, tracer))


def _left(path: str, headers: Sequence[Any], tracer: Any) -> float:
    """Which share of the dose is left at the time that the images are corrected to."""
    correction = str(_header(path, headers[0], "DecayCorrection"))
    if correction == "ADMIN":
        return 1.0
    if correction != "START":
        raise DataError(
            f"{path}: DecayCorrection is {correction}, but SUV needs images that are corrected for "
            "decay (START or ADMIN)."
        )
    half_life = _value(path, tracer, "RadionuclideHalfLife")
    scan = _scan_start(path, headers)
    if tracer.get("RadiopharmaceuticalStartDateTime"):
        text = str(tracer.RadiopharmaceuticalStartDateTime)
        injection = _moment(path, text[:8], text[8:])
    else:
        injection = _moment(
            path, scan.strftime("%Y%m%d"), _header(path, tracer, "RadiopharmaceuticalStartTime")
        )
        if injection > scan:  # The scan was after midnight.
            injection -= timedelta(days=1)
    seconds = (scan - injection).total_seconds()
    if seconds < 0:
        raise DataError(
            f"{path}: the tracer was injected at {injection}, after the scan at {scan}."
        )
    return float(2 ** -(seconds / half_life))


def _scan_start(path: str, headers: Sequence[Any]) -> datetime:
    series = _moment(
        path, _header(path, headers[0], "SeriesDate"), _header(path, headers[0], "SeriesTime")
    )
    acquired = min(
        _moment(path, _header(path, one, "AcquisitionDate"), _header(path, one, "AcquisitionTime"))
        for one in headers
    )
    return min(series, acquired)


def _header(path: str, dataset: Any, name: str) -> Any:
    value = dataset.get(name)
    if value is None or value == "":
        raise DataError(
            f"{path}: the header {name} is missing, and SUV needs it. Use the series "
            "with its full headers, or a volume of SUV."
        )
    return value


def _value(path: str, dataset: Any, name: str) -> float:
    return _number(path, name, _header(path, dataset, name))


def _number(path: str, name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise DataError(
            f"{path}: the header {name} is not a number: {value!r}. Correct it."
        ) from None


def _moment(path: str, date: Any, time: Any) -> datetime:
    """A DICOM date and time; the zone is the scanner's in all of them."""
    digits = str(time).partition("+")[0].partition("-")[0].partition(".")[0].ljust(6, "0")
    try:
        if len(str(date)) != 8:
            raise ValueError(date)
        return datetime.strptime(f"{date}{digits}", "%Y%m%d%H%M%S")
    except ValueError as error:
        raise DataError(f"{path}: {date} {time} is not a DICOM date and time.") from error
